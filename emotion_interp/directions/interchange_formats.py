"""Files of vectors as other programs read and write them: GGUF control vectors, torch files, JSON, safetensors, npz.

Every format is brought to one shape, `VectorFile`: vectors by the block behind which they are added (from 0; -1 is in front
of the first block), at their absolute length. What the programs differ in is how they count and name that place:

- llama.cpp, repeng and EasySteer call a vector `direction.N` and add it behind the block that counts N from 0. llama.cpp
  keeps nothing for block 0 and refuses a file that has it, although its layers look as if they counted from 1.
- steering-vectors keeps `layer_activations` by the same number, with `layer_type` "decoder_block".
- Neuronpedia adds at `hook_resid_pre`, so that "behind block N" is its layer N + 1.
- `output_hidden_states` of transformers counts the embeddings as 0, so that "behind block N" is its N + 1 as well.

Sources: llama.cpp, common/common.cpp and src/llama-adapter.cpp; repeng 0.4.0; steering-vectors 0.12.2; EasySteer,
vllm/steer_vectors; Neuronpedia, its endpoint /api/vector/new.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emotion_interp.core.errors import FileFormatError, UnknownNameError, UnsupportedError
from emotion_interp.core.extras import need
from emotion_interp.core.files import read_json
from emotion_interp.core.reading import regular_file, said
from emotion_interp.core.types import Direction
from emotion_interp.directions.interchange_arrays import (
    Numbering,
    VectorFile,
    read_npz,
    read_safetensors,
    read_torch,
    write_caa,
    write_npz,
    write_safetensors,
    write_steering_vectors,
)

LARGEST_STRENGTH = 100.0
"""What Neuronpedia's description of `vectorDefaultSteerStrength` allows."""
LONGEST_VECTOR = 24576
"""Entries of a vector that Neuronpedia takes."""
_GGUF_ARCHITECTURE = "controlvector"


class Format(NamedTuple):
    """One format: how it is written and read, and what its readers do with it."""

    suffix: str
    first_block: int
    write: Callable[[Path, VectorFile], None]
    read: Callable[[Path, Numbering], VectorFile]
    hook: str
    entry: str
    use: str
    """How the other side applies it; `{file}`, `{coefficient}` and `{entry}` are filled in."""


# -- GGUF control vectors ---------------------------------------------------------------------------------------------
def _write_gguf(path: Path, content: VectorFile) -> None:
    gguf = need("gguf", extra="gguf")
    writer = gguf.GGUFWriter(str(path), _GGUF_ARCHITECTURE)
    writer.add_string(f"{_GGUF_ARCHITECTURE}.model_hint", content.model)
    writer.add_uint32(f"{_GGUF_ARCHITECTURE}.layer_count", len(content.vectors))
    for name, text in content.facts.items():
        writer.add_string(f"emotion_interp.{name}", text)
    for block, vector in sorted(content.vectors.items()):
        writer.add_tensor(f"direction.{block}", np.ascontiguousarray(vector, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_gguf(path: Path, numbering: Numbering) -> VectorFile:
    del numbering  # the format says how it counts
    gguf = need("gguf", extra="gguf")
    try:
        reader = gguf.GGUFReader(str(path))
        tensors = [(t.name, np.array(t.data), t.tensor_type.name) for t in reader.tensors]
        hint = reader.get_field(f"{_GGUF_ARCHITECTURE}.model_hint")
        model = str(hint.contents()) if hint is not None else ""
    # the reader follows offsets of the file wherever they lead
    except Exception as error:
        raise FileFormatError(f"{path} is no readable GGUF file ({said(error)}).") from error
    vectors = {}
    for name, values, kind in tensors:
        match = re.fullmatch(r"direction\.(\d+)", name)
        if match is None:
            raise FileFormatError(
                f"{path} is no control vector: it has the tensor {said(name)}, and all of its tensors are to be named "
                "direction.N. A model's own GGUF file goes to load_subject."
            )
        if kind not in ("F32", "F16"):
            raise FileFormatError(f"{path} has {name} as {kind}; a control vector is F32.")
        vectors[int(match[1])] = values
    return VectorFile(vectors, model=model)


# -- Neuronpedia ------------------------------------------------------------------------------------------------------
def _write_neuronpedia(path: Path, content: VectorFile) -> None:
    entries = []
    for block, vector in sorted(content.vectors.items()):
        if len(vector) > LONGEST_VECTOR:
            raise UnsupportedError(f"Neuronpedia takes vectors of at most {LONGEST_VECTOR} entries, got {len(vector)}.")
        length = float(np.linalg.norm(vector.astype(np.float64)))
        # its strengths end at 100: what is longer stays in the vector
        strength = min(length * abs(content.coefficient), LARGEST_STRENGTH) * (-1 if content.coefficient < 0 else 1)
        size = length * content.coefficient / strength if strength else length
        entries.append(
            {
                "modelId": content.model,
                "layerNumber": block + 1,
                "hookType": "hook_resid_pre",
                "vector": (vector.astype(np.float64) / length * size).tolist(),
                "vectorDefaultSteerStrength": strength,
                "vectorLabel": content.name,
            }
        )
    path.write_text(json.dumps(entries[0] if len(entries) == 1 else entries, allow_nan=False), encoding="utf-8")


def _read_neuronpedia(path: Path, numbering: Numbering) -> VectorFile:
    del numbering
    content = read_json(path)
    vectors: dict[int, np.ndarray] = {}
    name = model = ""
    for entry in content if isinstance(content, list) else [content]:
        try:
            vector = np.asarray(entry["vector"], dtype=np.float64)
            strength = float(entry.get("vectorDefaultSteerStrength", 1.0))
            block = _neuronpedia_block(entry)
            name, model = str(entry.get("vectorLabel") or ""), str(entry.get("modelId") or "")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(
                f"{path} is no vector of Neuronpedia ({said(error, 80)}): each has vector, layerNumber and hookType, or hookName."
            ) from error
        if block in vectors:
            raise FileFormatError(f"{path} has two vectors behind block {block}; give one file for each.")
        vectors[block] = (strength * vector).astype(np.float32)
    return VectorFile(vectors, name=name, model=model)


def _neuronpedia_block(entry: Mapping[str, object]) -> int:
    """The block of an upload ("layerNumber", "hookType"), or of a vector as the site gives it out ("hookName")."""
    hook = entry.get("hookName") or f"blocks.{entry['layerNumber']}.{entry['hookType']}"
    match = re.fullmatch(r"blocks\.(\d+)\.(?:hook_)?resid_(pre|post)", str(hook).replace("-", "_"))
    if match is None:
        raise ValueError(f"the hook {said(hook, 40)}")
    return int(match[1]) - (match[2] == "pre")


_BEHIND = "the output of block {block}, counted from 0"


def _control_vector(first_block: int, use: str) -> Format:
    """The GGUF file of several programs, each with a call of its own."""
    return Format(
        suffix=".gguf",
        first_block=first_block,
        write=_write_gguf,
        read=_read_gguf,
        hook=_BEHIND,
        entry="direction.{block}",
        use=use,
    )


FORMATS: dict[str, Format] = {
    "llama.cpp": _control_vector(
        first_block=1,
        use="llama-cli --model MODEL.gguf --control-vector-scaled {file}:{coefficient}",
    ),
    "repeng": _control_vector(
        first_block=0,
        use="ControlModel(model, {blocks}).set_control(ControlVector.import_gguf('{file}'), {coefficient})",
    ),
    "easysteer": _control_vector(
        first_block=0,
        use="VectorSpec(data=easysteer.vectors.load('{file}', format='gguf'), algorithm='direct', scale={coefficient}, "
        "apply=ApplySpec(prompt='all', generation='all'))",
    ),
    "steering-vectors": Format(
        suffix=".pt",
        first_block=0,
        write=write_steering_vectors,
        read=read_torch,
        hook=_BEHIND,
        entry="layer_activations[{block}]",
        use="SteeringVector(**torch.load('{file}', weights_only=True)).apply(model, multiplier={coefficient})",
    ),
    "caa": Format(
        suffix=".pt",
        first_block=0,
        write=write_caa,
        read=read_torch,
        hook=_BEHIND,
        entry="the tensor",
        use="add {coefficient} * torch.load('{file}', weights_only=True) to the output of block {blocks}",
    ),
    "neuronpedia": Format(
        suffix=".json",
        first_block=-1,
        write=_write_neuronpedia,
        read=_read_neuronpedia,
        hook="hook_resid_pre of layer {next_block}",
        entry="layerNumber {next_block}",
        use="POST each object to https://www.neuronpedia.org/api/vector/new; strength as it stands in the file",
    ),
    "safetensors": Format(
        suffix=".safetensors",
        first_block=-1,
        write=write_safetensors,
        read=read_safetensors,
        hook=_BEHIND,
        entry="blocks.{block}.hook_resid_post",
        use="add {coefficient} * tensor at the hook that names it",
    ),
    "npz": Format(
        suffix=".npz",
        first_block=-1,
        write=write_npz,
        read=read_npz,
        hook=_BEHIND,
        entry="blocks.{block}.hook_resid_post",
        use="add {coefficient} * array at the hook that names it",
    ),
}
"""By name; `first_block` is the first whose output the readers of a format can change (-1: the embeddings)."""

_BY_SUFFIX = {
    ".gguf": "llama.cpp",
    ".pt": "caa",
    ".pth": "caa",
    ".bin": "caa",
    ".json": "neuronpedia",
    ".safetensors": "safetensors",
    ".npz": "npz",
}


def block_of(direction: Direction) -> int:
    """The block behind which a direction is added; -1: in front of the first.

    Raises:
        UnsupportedError: it is added elsewhere.
    """
    if direction.kind == "resid_post":
        return direction.layer
    if direction.kind == "resid_pre":
        return direction.layer - 1
    raise UnsupportedError(
        f"the direction {direction.name!r} is of {direction.site}; other programs add where whole blocks end. Take one "
        "of resid_post or resid_pre."
    )


def format_of(path: Path, named: str | None) -> str:
    """The name of a file's format: the one given, or what its ending says (torch files are told apart by content).

    Raises:
        UnknownNameError: no such format, or another ending.
    """
    if named is not None:
        if named not in FORMATS:
            raise UnknownNameError("format of vectors", named, FORMATS)
        return named
    if path.suffix.lower() not in _BY_SUFFIX:
        raise UnknownNameError("ending of a file of vectors", path.suffix or path.name, _BY_SUFFIX)
    return _BY_SUFFIX[path.suffix.lower()]


def read_vectors(path: Path, kind: str, numbering: Numbering) -> VectorFile:
    """What a file says, checked: finite vectors of one width; layers that hold zeros alone are left out.

    Raises:
        FileFormatError: it cannot be read, or says something that is no vector.
        EmotionInterpError: a lone vector without a layer.
        UnsupportedError: vectors of another place than the residual stream; `gguf` is missing.
    """
    regular_file(path, "give a file of vectors")
    content = FORMATS[kind].read(path, numbering)
    widths = {vector.shape for vector in content.vectors.values()}
    if len(widths) != 1 or len(next(iter(widths))) != 1:
        raise FileFormatError(f"{path} holds vectors of the shapes {sorted(widths)}; all are to be [d_model].")
    for block, vector in content.vectors.items():
        if block < -1:
            raise FileFormatError(f"{path} has a vector of a layer below 0.")
        if not np.isfinite(vector).all():
            raise FileFormatError(f"{path} has NaN or infinite entries in the vector behind block {block}.")
    vectors = {b: v.astype(np.float32) for b, v in sorted(content.vectors.items()) if v.any()}
    if not vectors:
        raise FileFormatError(f"{path} holds zeros alone; they point nowhere.")
    return replace(content, vectors=vectors)
