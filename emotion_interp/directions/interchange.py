"""Directions as files for other programs, and other programs' files as directions; each file says what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from emotion_interp import __version__
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError, UnsupportedError, tell
from emotion_interp.core.files import atomic_file, read_signed_json, require_place, sha256_file, write_signed_json
from emotion_interp.core.result import Result
from emotion_interp.core.types import Direction, Site
from emotion_interp.directions.interchange_arrays import Numbering, VectorFile
from emotion_interp.directions.interchange_formats import FORMATS, block_of, format_of, read_vectors
from emotion_interp.directions.interchange_parity import PARITY_TEXTS, forget_parity, write_parity
from emotion_interp.steering.interventions import check_direction, check_dose, scale_of

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

ABOUT = ".about.json"
COUNTED = ("blocks", "hidden_states")
OPERATION = "h <- h + coefficient * vector, at every token of prompt and answer, the first (BOS) among them"


@dataclass(frozen=True, repr=False)
class ExportedDirection(Result):
    """What was written: one row for each vector.

    Attributes:
        frame: block (counted from 0), site, entry (its name in the file), length, scale, dose.
        path: the file of vectors.
        files: it and what lies beside it: what the file says of itself, and the parity test.
        statement: operation, place, layers, coefficient; the content of the `.about.json`.
    """

    COLUMNS: ClassVar[Sequence[str]] = ("block", "site", "entry", "length", "scale", "dose")
    frame: pd.DataFrame
    path: Path
    files: tuple[Path, ...]
    statement: Mapping[str, object]

    def __repr__(self) -> str:
        return (
            f"ExportedDirection({self.path.name!r}, {self.statement['format']!r}, blocks {list(self.frame['block'])})"
        )


@checked
def export_direction(
    direction: Direction | Sequence[Direction],
    path: str | Path,
    format: str | None = None,
    dose: float = 1.0,
    scale: float | None = None,
    subject: Subject | None = None,
    texts: Sequence[str] | None = None,
    model: str | None = None,
) -> ExportedDirection:
    """Write a direction (a dial, or several over layers) as another program reads it, with a parity test beside it.

    A dose is in units of a site's scale, which other programs do not know: the vectors of the file have the length of the
    scale, so that their coefficient is our dose. The program adds them at every token, as `steer(..., positions="all_with_bos")`.

    Beside `joy.gguf` stand `joy.gguf.about.json` (operation, hook, layers, lengths and scales) and, with a subject,
    `joy.gguf.parity.json` and `.parity.safetensors` (token ids, hidden states and logits before and after), which
    `check_parity` and the bare script `check_parity.py`, also written there, compare with what a program computes.

    Args:
        direction: at `resid_post`, or at `resid_pre`, which is the `resid_post` of the block before; one for a layer.
        path: the file to write.
        format: "llama.cpp" (GGUF, no block 0), "repeng", "easysteer" (the same file), "steering-vectors", "caa" (torch
            files), "neuronpedia" (JSON), "safetensors", "npz"; None: by the ending.
        dose: of the parity test, and what the file recommends as coefficient.
        scale: of the sites; default: what the directions carry, else the subject's own.
        subject: the model; without one there is no parity test.
        texts: of the parity test; default: three short ones.
        model: its name for the other side (Neuronpedia's modelId); default: the subject's.

    Returns:
        ExportedDirection.

    Raises:
        EmotionInterpError: two directions of one place, a scale that is not known, or a place that cannot be written.
        UnknownNameError: no such format.
        UnsupportedError: a site, or block, at which the program cannot add.

    Example:
        >>> joy = Direction([3.0, 4.0], layer=1, name="joy", provenance={"scale": 10.0})
        >>> export_direction(joy, "joy.npz").to_frame()["length"].tolist()  # doctest: +SKIP
        [10.0]
    """
    place = Path(path)
    kind = format_of(place, format)
    require_place(place)
    several = list(direction) if isinstance(direction, Sequence) else [direction]
    amount = check_dose(dose)
    several = _sized(several, scale, subject)
    content = _content(several, kind, amount, _model_hint(subject, kind, model))
    if subject is not None and kind == "neuronpedia" and max(content.vectors) + 1 >= subject.n_layers:
        raise UnsupportedError(
            f"Neuronpedia adds in front of a block, and behind the last one ({subject.n_layers - 1}) there is none; take another layer."
        )
    statement = _statement(several, kind, amount, place, model or (subject.name if subject else ""))
    facts = {name: str(statement[name]) for name in ("operation", "place", "coefficient", "made_by")}
    with atomic_file(place) as temporary:
        FORMATS[kind].write(temporary, VectorFile(content.vectors, amount, content.name, content.model, facts))
    statement["sha256"] = sha256_file(place)
    files = [place, _beside(place, ABOUT)]
    write_signed_json(files[1], statement)
    if subject is None:
        # one of an earlier file would be of other vectors
        forget_parity(place)
    else:
        # at resid_pre of the next block the outputs of a block would not show it
        behind = [d if (block := block_of(d)) < 0 else replace(d, layer=block, kind="resid_post") for d in several]
        files += write_parity(place, subject, behind, amount, list(texts or PARITY_TEXTS))
    frame = pd.DataFrame(_rows(statement)).rename(columns={"hook": "site"})[[*ExportedDirection.COLUMNS[:-1]]]
    return ExportedDirection(frame.assign(dose=amount), place, tuple(files), statement)


@checked
def import_directions(
    path: str | Path,
    format: str | None = None,
    layers: Sequence[int] | None = None,
    counted: str = "blocks",
    name: str | None = None,
) -> list[Direction]:
    """Directions of another program's file, one for each of its layers, to steer with together.

    Their provenance has the length of the vector as `scale`, so that a dose is the program's coefficient; of a file of
    `export_direction` it is the scale of the site, and a dose means what it did. Nothing is unpickled: of torch files
    tensors alone are read.

    Args:
        path: GGUF control vector, torch file (steering-vectors, CAA, tensors by layer), Neuronpedia JSON, safetensors, npz.
        format: as in `export_direction`; None: by the ending.
        layers: numbers of the rows of a stacked array, or of a lone vector; default: 0, 1, ..., or as the file is named.
        counted: how a file without a convention of its own (torch, safetensors, npz) counts: "blocks" from 0, or
            "hidden_states" of transformers, where 0 are the embeddings.
        name: of the directions; default: the file's.

    Returns:
        Directions in the order of their layers.

    Raises:
        FileFormatError: the file is damaged, holds other objects than tensors, or no vectors.
        EmotionInterpError: a vector without a layer.
        UnknownNameError: no such format, or another ending.
        UnsupportedError: vectors of another place than the residual stream; `gguf` is missing.

    Example:
        >>> with steer(subject, ei.import_directions("joy.gguf"), dose=0.5):  # doctest: +SKIP
        ...     subject.generate("The letter said")
    """
    if counted not in COUNTED:
        raise UnknownNameError("way of counting layers", counted, COUNTED)
    place = Path(path)
    statement = read_statement(place)
    kind = format_of(place, format or statement.get("format"))
    numbering = Numbering(counted, None if layers is None else tuple(layers))
    if kind == "caa" and layers is None and len(_rows(statement)) == 1:
        numbering = Numbering("blocks", (int(_rows(statement)[0]["block"]),))
    content = read_vectors(place, kind, numbering)
    label = name or content.name or str(statement.get("name") or "") or place.stem
    scales = {row["block"]: row["scale"] for row in _rows(statement)}
    digest = sha256_file(place)
    directions = []
    for block, vector in content.vectors.items():
        length = float(np.linalg.norm(vector.astype(np.float64)))
        # a dose of one is what the file does at a coefficient of one
        provenance = {"scale": scales.get(block, length), "length": length, "file": place.name, "sha256": digest}
        if content.model:
            provenance["model"] = content.model
        site = Site(block) if block >= 0 else Site(0, "resid_pre")
        directions.append(Direction(vector, site.layer, site.kind, label, method="imported", provenance=provenance))
    return directions


def read_statement(path: Path) -> dict:
    """What the `.about.json` beside a file says; empty where there is none, or it is of another file.

    Raises:
        FileFormatError: it was changed after it was saved.

    Warns:
        UserWarning: it is of another file.
    """
    beside = _beside(path, ABOUT)
    if not beside.is_file():
        return {}
    statement, _ = read_signed_json(beside)
    if not isinstance(statement, dict) or statement.get("sha256") != sha256_file(path):
        tell(f"{beside.name} is of another {path.name} than this one (its SHA-256 differs); it is not used.")
        return {}
    for row in _rows(statement):
        if not {"block", "scale"} <= set(row):
            raise FileFormatError(f"{beside} names no block and scale for each layer; write it with export_direction.")
    return statement


def _sized(several: Sequence[Direction], scale: float | None, subject: Subject | None) -> list[Direction]:
    """The directions, each with the scale of its site, which is the length that its vector gets."""
    if not several:
        raise EmotionInterpError("export_direction needs at least one direction, got an empty list.")
    sized = []
    for direction in several:
        size = _carried(direction) if scale is None else scale
        if subject is not None:
            check_direction(subject, direction)
            size = scale_of(subject, direction.site, size)
        if size is None:
            raise EmotionInterpError(
                f"the direction {direction.name!r} carries no scale, by which its length is known; give scale= or subject=."
            )
        if not (np.isfinite(size) and size > 0):
            raise EmotionInterpError(f"the scale of {direction.site} is a positive number, got {size!r}.")
        sized.append(replace(direction, provenance={**direction.provenance, "scale": float(size)}))
    return sized


def _carried(direction: Direction) -> float | None:
    """The scale that a direction carries, None where it carries none."""
    size = direction.provenance.get("scale")
    if size is not None and (isinstance(size, bool) or not isinstance(size, (int, float, np.number))):
        raise EmotionInterpError(f"the scale of {direction.site} is a positive number, got {size!r}.")
    return None if size is None else float(size)


def _content(several: Sequence[Direction], kind: str, dose: float, model: str) -> VectorFile:
    vectors: dict[int, np.ndarray] = {}
    for direction in several:
        block = block_of(direction)
        if block in vectors:
            raise EmotionInterpError(
                f"two directions are added behind block {block}; mix them first, as in joy + calm."
            )
        if block < FORMATS[kind].first_block:
            raise UnsupportedError(
                f"{kind} cannot add behind block {block} ({direction.site}); its first is block {FORMATS[kind].first_block}."
            )
        vectors[block] = ((_carried(direction) or 0.0) * direction.unit.astype(np.float64)).astype(np.float32)
    if kind == "caa" and len(vectors) > 1:
        raise UnsupportedError(f"a CAA file holds one vector, got {len(vectors)}; write a file for each layer.")
    return VectorFile(vectors, dose, several[0].name, model)


def _statement(several: Sequence[Direction], kind: str, dose: float, path: Path, model: str) -> dict:
    """What a file says of itself."""
    chosen = FORMATS[kind]
    rows = []
    for direction in several:
        block = block_of(direction)
        names = {"block": block, "next_block": block + 1}
        rows.append(
            {
                "block": block,
                "hook": str(direction.site),
                "place": chosen.hook.format(**names),
                "entry": chosen.entry.format(**names),
                "transformers_hidden_states": block + 1,
                "length": direction.provenance["scale"],
                "scale": direction.provenance["scale"],
            }
        )
    blocks = [row["block"] for row in rows]
    filled = {"file": path.name, "coefficient": f"{dose:g}", "blocks": blocks, "block": blocks[0]}
    return {
        "version": 1,
        "format": kind,
        "name": several[0].name,
        "model": model,
        "operation": OPERATION,
        "place": "the residual stream behind a block; blocks are counted from 0",
        "layers": rows,
        "coefficient": dose,
        "coefficient_means": "the dose, in units of scale, the median norm of the activations there",
        "how": chosen.use.format(**filled),
        "made_by": f"emotion_interp {__version__}",
    }


def _rows(statement: Mapping[str, object]) -> list[dict]:
    rows = statement.get("layers", [])
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _model_hint(subject: Subject | None, kind: str, model: str | None) -> str:
    """A GGUF file names the architecture, as repeng does; the others name the model."""
    if subject is None or model is not None:
        return model or ""
    if FORMATS[kind].suffix == ".gguf":
        original = getattr(subject.model, "original_model", None)
        return str(getattr(getattr(original, "config", None), "model_type", None) or subject.name)
    return subject.name


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
