"""What random directions of the same length do: the null of every steering figure, in blocks that a killed run keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.files import atomic_file, sha256_of
from emotion_interp.core.types import Site
from emotion_interp.directions.null_directions import NullDirections, random_directions
from emotion_interp.experiments.setting import GridSetting
from emotion_interp.judges.judging import at_length, judged
from emotion_interp.judges.next_word import NextWords
from emotion_interp.steering.interventions import RowInterventions

BLOCK = 100
"""Random directions of one file."""


def drawn_nulls(setting: GridSetting, site: Site) -> dict[str, NullDirections]:
    """The random directions that a setting asks for at a site; none where it asks for none."""
    nulls = setting.nulls
    if not nulls.count:
        return {}
    return random_directions(setting.subject, site, nulls.count, nulls.kinds, setting.seed, nulls.texts)


def no_own(setting: GridSetting, drawn: NullDirections, emotion: str) -> np.ndarray:
    """Which random directions are none of the emotion's own: decoder rows of its selected features are: [direction]."""
    chosen = getattr(setting.nulls.bank, "selected_features", None)
    if drawn.latents is None or chosen is None or emotion not in getattr(setting.nulls.bank, "emotions", [emotion]):
        return np.ones(len(drawn), dtype=bool)
    return ~np.isin(drawn.latents, np.asarray(chosen(drawn.site, emotion=emotion), dtype=np.int64))


def random_answers(setting: GridSetting, scale: float, dose: float, drawn: NullDirections) -> np.ndarray:
    """Every emotion's judged probability under random directions: [direction, prompt, emotion].

    With `setting.null_folder` each block of directions is kept there under the hash of all that it depends on, and taken
    again: the null is the costly part of a test, and depends on no emotion's direction. A text judge's answers are kept
    for all its emotions; it is known by what it answers to the prompts.

    Raises:
        FileFormatError: a kept block is damaged.
    """
    wide, columns = setting, list(range(len(setting.emotions)))
    if not isinstance(setting.judge, NextWords):
        known = list(setting.judge.emotions)
        wide = replace(setting, emotions=tuple(dict.fromkeys([*known, *setting.emotions])))
        columns = [wide.emotions.index(e) for e in setting.emotions]
    # a function has no name that the next run would know it by
    kept = setting.null_folder is not None and not callable(setting.positions)
    asked = _question(wide, drawn.site) if kept else None
    parts = []
    for start in range(0, len(drawn), BLOCK):
        rows = at_length(drawn.site, drawn.units[start : start + BLOCK], dose * scale)
        parts.append(_block(wide, rows, drawn.site, asked)[:, :, columns])
    return np.concatenate(parts)


def _block(setting: GridSetting, rows: RowInterventions, site: Site, asked: dict[str, object] | None) -> np.ndarray:
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


def _question(setting: GridSetting, site: Site) -> dict[str, object]:
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
