"""What random directions of the same length do: the null of every steering figure, in blocks that a killed run keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.files import atomic_file, sha256_of
from emotion_interp.core.types import Site
from emotion_interp.steering.interventions import RowInterventions
from emotion_interp.steering.judging import Setting, judged, random_directions
from emotion_interp.steering.next_word import NextWords

BLOCK = 100
"""Random directions of one file."""


def random_answers(setting: Setting, scale: float, site: Site, dose: float, count: int) -> np.ndarray:
    """Every emotion's judged probability under random directions: [direction, prompt, emotion].

    With `setting.null_folder` each block of directions is kept there under the hash of all that it depends on, and taken
    again: the null is the costly part of a test, and depends on no emotion's direction. A text judge's answers are kept
    for all its emotions; it is known by what it answers to the prompts.

    Raises:
        FileFormatError: a kept block is damaged.
    """
    if not count:
        return np.zeros((0, len(setting.prompts), len(setting.emotions)))
    vectors = random_directions(site, count, setting.subject.d_model, scale, dose, setting.seed).vectors[site]
    wide, columns = setting, list(range(len(setting.emotions)))
    if not isinstance(setting.judge, NextWords):
        known = list(setting.judge.emotions)
        wide = replace(setting, emotions=tuple(dict.fromkeys([*known, *setting.emotions])))
        columns = [wide.emotions.index(e) for e in setting.emotions]
    # a function has no name that the next run would know it by
    kept = setting.null_folder is not None and not callable(setting.positions)
    asked = _question(wide, site) if kept else None
    parts = []
    for start in range(0, count, BLOCK):
        rows = RowInterventions({site: vectors[start : start + BLOCK]})
        parts.append(_block(wide, rows, site, asked)[:, :, columns])
    return np.concatenate(parts)


def _block(setting: Setting, rows: RowInterventions, site: Site, asked: dict[str, object] | None) -> np.ndarray:
    if setting.null_folder is None or asked is None:
        return judged(setting, rows)
    vectors = sha256_of(np.asarray(rows.vectors[site], dtype=np.float64).round(6).tolist())
    path = Path(setting.null_folder) / f"{sha256_of({**asked, 'vectors': vectors})[:32]}.npy"
    shape = (rows.n_rows, len(setting.prompts), len(setting.emotions))
    if path.is_file():
        try:
            found = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise FileFormatError(f"{path} is no block of random directions' answers ({error}); delete it.") from error
        if found.shape != shape:
            raise FileFormatError(f"{path} holds answers of shape {found.shape}, expected {shape}; delete it.")
        return found
    answers = judged(setting, rows)
    with atomic_file(path) as temporary:
        np.save(temporary.with_suffix(".npy"), answers, allow_pickle=False)
    return answers


def _question(setting: Setting, site: Site) -> dict[str, object]:
    """Everything that a block's answers depend on but its vectors."""
    judge = setting.judge
    if isinstance(judge, NextWords):
        asked: object = {e: list(ids) for e, ids in judge.token_ids.items()}
    else:
        asked = np.asarray(judge.predict_proba(list(setting.prompts)), dtype=np.float64).round(6).tolist()
    known: object = setting.subject.provenance
    if not known:
        # a user's own model: two of one name differ in their weights
        import torch

        known = [
            [n, p.numel(), f"{float(p.detach().sum(dtype=torch.float64)):.6e}"]
            for n, p in setting.subject.model.named_parameters()
        ]
    return {
        "subject": [setting.subject.name, known],
        "site": str(site),
        "prompts": list(setting.prompts),
        "judge": [type(judge).__name__, list(judge.emotions), asked],
        "emotions": list(setting.emotions),
        "positions": repr(setting.positions),
        "texts": [setting.max_new_tokens, setting.samples, setting.seed, dict(setting.options)],
    }
