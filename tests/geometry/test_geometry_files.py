"""Emotion spaces from files: every layout gives the same space, and what is none is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.geometry import EmotionSpace, load_space

EMOTIONS = ["joy", "fear", "anger"]
VECTORS = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.0]])


def write(folder: Path, layout: str) -> Path:
    from safetensors.numpy import save_file

    path = folder / f"space{layout[layout.index('.') :]}"
    match layout:
        case "named.npz":
            np.savez(path, vectors=VECTORS, emotions=EMOTIONS)
        case "each.npz":
            np.savez(path, **dict(zip(EMOTIONS, VECTORS, strict=True)))
        case "rows.npz":
            np.savez(path, vectors=VECTORS)
        case "rows.npy":
            np.save(path, VECTORS)
        case "named.safetensors":
            save_file({"vectors": VECTORS}, path, metadata={"emotions": json.dumps(EMOTIONS)})
        case "comma.safetensors":
            save_file({"vectors": VECTORS}, path, metadata={"emotions": "joy, fear, anger"})
        case "each.safetensors":
            save_file(dict(zip(EMOTIONS, VECTORS, strict=True)), path)
        case "named.csv":
            path.write_text("x,emotion,y\n1,joy,2\n3,fear,-4\n0.5,anger,0\n", encoding="utf-8-sig")
        case "first.csv":
            path.write_text("label,0,1\njoy,1,2\nfear,3,-4\nanger,0.5,0\n")
        case "rows.csv":
            path.write_text("0,1\n1,2\n3,-4\n0.5,0\n")
    return path


@pytest.mark.parametrize(
    "layout",
    ["named.npz", "each.npz", "named.safetensors", "comma.safetensors", "each.safetensors", "named.csv", "first.csv"],
)
def test_files_that_name_their_emotions_are_read_whole_or_in_part(tmp_path: Path, layout: str) -> None:
    path = write(tmp_path, layout)
    space = load_space(path, layer=7, kind="dense", language="en")
    np.testing.assert_allclose(space.subset(EMOTIONS).vectors, VECTORS)
    assert (space.layer, space.kind, space.language) == (7, "dense", "en")
    part = EmotionSpace.from_file(str(path), ["anger", "joy"], layer=7)
    assert part.emotions == ("anger", "joy") and part.layer == 7
    np.testing.assert_allclose(part.vectors, VECTORS[[2, 0]])
    with pytest.raises(UnknownNameError, match="awe"):
        load_space(path, ["joy", "awe"])


@pytest.mark.parametrize("layout", ["rows.npz", "rows.npy", "rows.csv"])
def test_rows_without_names_need_them(tmp_path: Path, layout: str) -> None:
    path = write(tmp_path, layout)
    np.testing.assert_allclose(load_space(path, EMOTIONS).vectors, VECTORS)
    with pytest.raises(EmotionInterpError, match="give emotions="):
        load_space(path)
    with pytest.raises(EmotionInterpError, match="3 vectors"):
        load_space(path, ["joy", "fear"])
    with pytest.raises(EmotionInterpError, match="list of texts"):
        load_space(path, "joy")


def test_one_of_several_matrices_is_taken_by_name(tmp_path: Path) -> None:
    path = tmp_path / "layers.npz"
    np.savez(path, layer_0=VECTORS, layer_1=2 * VECTORS, emotions=EMOTIONS)
    np.testing.assert_allclose(load_space(path, array="layer_1").vectors, 2 * VECTORS)
    with pytest.raises(FileFormatError, match="array="):
        load_space(path)
    with pytest.raises(UnknownNameError, match="layer_2"):
        load_space(path, array="layer_2")


def test_half_precision_tensors_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "half.safetensors"
    save_file({"v": torch.tensor(VECTORS).bfloat16()}, str(path), metadata={"emotions": json.dumps(EMOTIONS)})
    np.testing.assert_allclose(load_space(path).vectors, VECTORS)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    for name, save in (("a.npy", np.save), ("a.npz", np.savez)):
        path = tmp_path / name
        save(path, np.array([{"joy": 1}], dtype=object))
        with pytest.raises(FileFormatError, match="pickled"):
            load_space(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("space.txt", b"", "'.txt'"),
        ("space.npz", b"nothing", "readable .npz"),
        ("space.npy", b"nothing", "readable .npy"),
        ("space.safetensors", b"nothing", "readable .safetensors"),
        ("space.csv", b"", "readable CSV"),
        ("space.csv", "emotion,x\nma\u00f1ana,1\n".encode("latin-1"), "UTF-8"),
        ("space.csv", b"emotion,x,y\njoy,1,2\nfear,much,2\n", "row 3, column 'x'.*'much'"),
        ("space.csv", b"emotion\njoy\nfear\n", "no numbers"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_space(path)


def test_arrays_that_are_no_space_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    for arrays in ({"v": np.zeros((2, 2, 2))}, {"a": np.ones(3), "b": np.ones(2)}, {"v": np.array([["a"]])}):
        np.savez(path, **arrays)
        with pytest.raises(FileFormatError):
            load_space(path, ["a", "b"])
    np.savez(path, v=np.array([[1, np.nan], [0, 1]]))
    with pytest.raises(NotFiniteError, match="fear"):
        load_space(path, ["fear", "joy"])
    with pytest.raises(FileFormatError, match="does not exist"):
        load_space(tmp_path / "missing.npy")
