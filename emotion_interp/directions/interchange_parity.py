"""Parity files: token ids, and the hidden states and logits that a model has before and after a file of vectors is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.files import atomic_file, read_signed_json, sha256_file, write_signed_json, write_text
from emotion_interp.core.reading import read_text, regular_file, said
from emotion_interp.core.types import Direction, Site
from emotion_interp.directions.interchange_formats import block_of
from emotion_interp.steering.context import steer
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

PARITY, TENSORS = ".parity.json", ".parity.safetensors"
SCRIPT = "check_parity.py"
PARITY_TEXTS = ("The letter said that", "When she opened the door, he was", "I have never felt so")
LAYOUT = (
    "'TEXT.BLOCK.before' and 'TEXT.BLOCK.after' [token, d_model]: the output of a block, float32, texts and blocks counted "
    "from 0; 'TEXT.logits.before' and '.after' [vocabulary]: of the last token"
)


@dataclass(frozen=True)
class ParityFile:
    """What a parity file expects.

    Attributes:
        coefficient: by which the vectors are multiplied.
        blocks: whose outputs it has.
        token_ids: of each text.
        states: "TEXT.BLOCK.STATE" -> [token, d_model], "TEXT.logits.STATE" -> [vocabulary].
        model: whose hidden states they are.
    """

    coefficient: float
    blocks: tuple[int, ...]
    token_ids: tuple[tuple[int, ...], ...]
    states: Mapping[str, np.ndarray]
    model: str


def computed(
    subject: Subject, token_ids: Sequence[Sequence[int]], blocks: Sequence[int], state: str
) -> dict[str, np.ndarray]:
    """Hidden states and logits as the subject computes them now, by the names that they have in a parity file."""
    import torch

    found: dict[str, np.ndarray] = {}
    options: dict[str, str] = {"padding_side": "right"} if subject.backend == "hooked" else {}
    for number, ids in enumerate(token_ids):
        text = TokenizedText(tuple(ids), ((0, 0),) * len(ids), bool(subject.has_bos([ids])[0]))

        def keep(site: Site, activations: torch.Tensor, batch: Batch, number: int = number) -> None:
            del batch
            found[f"{number}.{site.layer}.{state}"] = activations[0].detach().float().cpu().numpy()

        forward_pass(subject, [text], [Site(block) for block in blocks], keep)
        with torch.no_grad():
            row = torch.tensor([list(ids)], device=subject.device)
            logits = subject.model(row, return_type="logits", **options)
        found[f"{number}.logits.{state}"] = logits[0, -1].float().cpu().numpy()
    return found


def steered(
    subject: Subject,
    directions: Sequence[Direction],
    coefficient: float,
    token_ids: Sequence[Sequence[int]],
    blocks: Sequence[int],
) -> dict[str, np.ndarray]:
    """`computed` without and with directions added at every token, BOS among them."""
    states = computed(subject, token_ids, blocks, "before")
    with steer(subject, list(directions), coefficient, positions="all_with_bos"):
        states |= computed(subject, token_ids, blocks, "after")
    return states


def write_parity(
    path: Path, subject: Subject, directions: Sequence[Direction], coefficient: float, texts: Sequence[str]
) -> list[Path]:
    """Write the parity files of a file of vectors, and the script that runs them without this package."""
    from safetensors.numpy import save_file

    token_ids = [text.ids for text in subject.tokenize(texts, whole=True)]
    blocks = sorted({block_of(d) for d in directions if block_of(d) >= 0} | {subject.n_layers - 1})
    states = steered(subject, directions, coefficient, token_ids, blocks)
    files = [path.with_name(path.name + PARITY), path.with_name(path.name + TENSORS), path.with_name(SCRIPT)]
    with atomic_file(files[1]) as temporary:
        save_file({name: np.ascontiguousarray(values) for name, values in states.items()}, temporary)
    content = {
        "version": 1,
        "file": path.name,
        "sha256": sha256_file(path),
        "model": subject.name,
        "dtype": str(subject.dtype).removeprefix("torch."),
        "coefficient": coefficient,
        "blocks": blocks,
        "texts": [
            {"text": text, "token_ids": [int(i) for i in ids]} for text, ids in zip(texts, token_ids, strict=True)
        ],
        "tensors": files[1].name,
        "tensors_sha256": sha256_file(files[1]),
        "layout": LAYOUT,
        "run": f"python {SCRIPT} {path.name} --model MODEL --with repeng",
    }
    write_signed_json(files[0], content)
    write_text(files[2], read_text(Path(__file__).with_name("parity_script.py")))
    return files


def forget_parity(path: Path) -> None:
    """Remove the parity files of an earlier file of that name."""
    for ending in (PARITY, TENSORS):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def read_parity(path: Path) -> ParityFile:
    """What the parity files beside a file of vectors expect.

    Raises:
        FileFormatError: they are missing, damaged, or of another file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    beside, tensors = path.with_name(path.name + PARITY), path.with_name(path.name + TENSORS)
    for file in (path, beside, tensors):
        regular_file(file, "a parity test is written by export_direction(..., subject=)")
    content, _ = read_signed_json(beside)
    try:
        if content["sha256"] != sha256_file(path) or content["tensors_sha256"] != sha256_file(tensors):
            raise FileFormatError(f"{beside} is of other files than {path.name} and {tensors.name} are now.")
        expected = ParityFile(
            coefficient=float(content["coefficient"]),
            blocks=tuple(int(block) for block in content["blocks"]),
            token_ids=tuple(tuple(int(i) for i in text["token_ids"]) for text in content["texts"]),
            states=load_file(tensors),
            model=str(content["model"]),
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{beside} is no parity test ({said(error, 80)}); write it with export_direction."
        ) from error
    parts = [*map(str, expected.blocks), "logits"]
    names = {f"{n}.{part}.{s}" for n in range(len(expected.token_ids)) for part in parts for s in ("before", "after")}
    if names != set(expected.states):
        raise FileFormatError(f"{tensors} has not the states that {beside.name} speaks of.")
    return expected
