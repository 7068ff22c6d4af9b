"""Files that hold the vectors of several layers: one is chosen, or the layers are listed; never so many emotions."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.geometry import EmotionSpace, load_space

EMOTIONS = [f"emo{letter}" for letter in "abcdefghijklmnopqrst"]
VECTORS = np.random.default_rng(0).normal(size=(20, 4, 6))
"""[emotion, layer, dimension]"""


def grid(pattern: str) -> dict[str, np.ndarray]:
    return {pattern.format(e=e, k=k): VECTORS[i, k] for i, e in enumerate(EMOTIONS) for k in range(4)}


LAYOUTS = {
    **{
        pattern: grid(pattern)
        for pattern in (
            "{e}_layer_{k}",
            "{e}_layer{k}",
            "{e}.layers.{k}",
            "{e}_L{k}",
            "{e}/{k}",
            "{e}_{k}",
            "{e}{k}",
            "{e} {k}",
            "layer_{k}/{e}",
            "layer{k}_{e}",
            "L{k}.{e}",
            "{k}_{e}",
            "blocks.{k}.hook_resid_post.{e}",
        )
    },
    "each [layer, dimension]": dict(zip(EMOTIONS, VECTORS, strict=True)),
    "[layer, emotion, dimension]": {"v": VECTORS.transpose(1, 0, 2), "emotions": np.array(EMOTIONS)},
    "[emotion, layer, dimension]": {"v": VECTORS, "emotions": np.array(EMOTIONS)},
    "layer_k": {**{f"layer_{k}": VECTORS[:, k] for k in range(4)}, "emotions": np.array(EMOTIONS)},
    "k": {**{str(k): VECTORS[:, k] for k in range(4)}, "emotions": np.array(EMOTIONS)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_layered_file_gives_one_layer_and_never_eighty_emotions(tmp_path, layout, ending):
    arrays, path = dict(LAYOUTS[layout]), tmp_path / f"space.{ending}"
    if ending == "npz":
        np.savez(path, **{k.replace("/", "/"): v for k, v in arrays.items()})
    else:
        import json

        from safetensors.numpy import save_file

        names = arrays.pop("emotions", None)
        save_file(
            {k: np.ascontiguousarray(v) for k, v in arrays.items()},
            path,
            metadata=None if names is None else {"emotions": json.dumps(names.tolist())},
        )
    with pytest.raises(EmotionInterpError, match=r"0, 1, 2, 3.*layer="):
        load_space(path)
    for layer in (0, 3):
        space = EmotionSpace.from_file(path, layer=layer)
        assert sorted(space.emotions) == EMOTIONS and space.layer == layer
        np.testing.assert_array_equal(space.subset(EMOTIONS).vectors, VECTORS[:, layer])
    assert load_space(path, EMOTIONS[3:6], layer=2).emotions == tuple(EMOTIONS[3:6])
    with pytest.raises(UnknownNameError, match="layer of space"):
        load_space(path, layer=7)


def test_an_entry_numbers_the_layers(tmp_path):
    path, layers = tmp_path / "space.npz", np.array([5, 9, 12, 15])
    for arrays in ({"v": VECTORS, "emotions": np.array(EMOTIONS)}, dict(zip(EMOTIONS, VECTORS, strict=True))):
        np.savez(path, layers=layers, **arrays)
        with pytest.raises(EmotionInterpError, match=r"5, 9, 12, 15.*layer="):
            load_space(path)
        np.testing.assert_array_equal(load_space(path, layer=12).subset(EMOTIONS).vectors, VECTORS[:, 2])
        with pytest.raises(UnknownNameError, match="layer of space"):
            load_space(path, layer=2)
        np.savez(path, layers=layers[:3], **arrays)
        with pytest.raises(FileFormatError, match="names 3 layers, and it holds 4"):
            load_space(path, layer=5)
    np.savez(path, layers=layers, a=VECTORS, b=VECTORS, emotions=np.array(EMOTIONS))
    np.testing.assert_array_equal(load_space(path, array="b", layer=9).vectors, VECTORS[:, 1])


def test_a_table_with_a_column_of_layers_gives_one(tmp_path):
    path = tmp_path / "space.csv"
    rows = [f"{k},{e},{VECTORS[i, k, 0]},{VECTORS[i, k, 1]}," for i, e in enumerate(EMOTIONS) for k in range(4)]
    path.write_text("layer,emotion,x,y\n" + "\n".join(rows) + "\n")
    with pytest.raises(EmotionInterpError, match="layer="):
        load_space(path)
    np.testing.assert_allclose(load_space(path, layer=2).vectors, VECTORS[:, 2, :2])


def test_layers_that_are_not_all_there_are_refused(tmp_path):
    path = tmp_path / "space.npz"
    arrays = grid("{e}_layer_{k}")
    del arrays["emob_layer_2"]
    np.savez(path, **arrays)
    with pytest.raises(FileFormatError, match="79 vectors for 20 emotions and 4 layers"):
        load_space(path, layer=2)
    np.savez(path, neutral=VECTORS[0, 0], **grid("{e}_layer_{k}"))
    with pytest.raises(FileFormatError, match=r"some of its names end in a layer .*others do not \(neutral\)"):
        load_space(path)
    np.savez(path, **{f"layer_{k}": VECTORS[0, k] for k in range(4)})
    with pytest.raises(FileFormatError, match="4 vectors of one name"):
        load_space(path)


def test_names_with_numbers_that_are_no_layers_stay_names(tmp_path):
    path = tmp_path / "space.npz"
    np.savez(path, joy_1=np.ones(3), fear_2=np.zeros(3), awe=np.arange(3.0))
    assert load_space(path).emotions == ("joy_1", "fear_2", "awe")
    np.savez(path, joy_layer_3=np.ones(3), fear_layer_3=np.zeros(3))
    assert len(load_space(path).emotions) == 2


def test_tables_of_vectors_are_never_shifted(tmp_path):
    path = tmp_path / "space.csv"
    for text in (
        "emotion,x,y\njoy,1,2,\nfear,3,4,\n",
        "emotion,x,y,\njoy,1,2\nfear,3,4\n",
        ",emotion,x,y\n0,joy,1,2\n1,fear,3,4\n",
        ",x,y\njoy,1,2\nfear,3,4\n",
        "emotion;x;y\njoy;1,0;2\nfear;3;4,0\n",
        "x,emotion,y\n1,joy,2\n3,fear,4\n",
    ):
        path.write_text(text)
        space = load_space(path)
        assert space.emotions == ("joy", "fear"), text
        np.testing.assert_array_equal(space.vectors, [[1, 2], [3, 4]])
    for text, message in (
        ("emotion,x,y\njoy,1,2,3\nfear,3,4\n", "line 2: 4 cells"),
        ("emotion,x,y\njoy,1\nfear,3,4\n", "line 2"),
        ("emotion,x,x\njoy,1,2\nfear,3,4\n", "several columns called 'x'"),
        ("emotion,Emotion,x\njoy,a,2\nfear,b,4\n", "2 columns for 'emotion'"),
        ("emotion,x,y\njoy,1,2_0\nfear,3,4\n", "'2_0'"),
    ):
        path.write_text(text)
        with pytest.raises(FileFormatError, match=message):
            load_space(path)
