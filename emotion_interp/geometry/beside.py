"""The text baselines of an alignment: aligned beside it, and what the space adds to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from emotion_interp.core.errors import tell
from emotion_interp.geometry.coordinates import HumanCoordinates
from emotion_interp.geometry.gain import GAIN_FOLDS
from emotion_interp.geometry.increment import increments
from emotion_interp.geometry.results import Alignment
from emotion_interp.geometry.space import EmotionSpace

TEXT_CONTROLS = ("text", "encoder")
SAMPLES = 999
"""Most permutations and resamples of an increment, whose every sample is a nested cross-validation."""


def beside_texts(
    spaces: Sequence[EmotionSpace],
    aligned: Sequence[Alignment],
    text: EmotionSpace | Mapping[str, EmotionSpace] | None,
    human: HumanCoordinates,
    fit: Callable[[EmotionSpace], Alignment],
    n_permutations: int,
    n_bootstrap: int,
    seed: int,
) -> list[Alignment]:
    """Each alignment with those of its text baselines and what it adds to them; a baseline that several spaces share is
    aligned once. `text`: the baselines; None for those that each space carries."""
    fits: dict[int, Alignment] = {}
    result = []
    for space, alignment in zip(spaces, aligned, strict=True):
        if text is None:
            given: Mapping[str, EmotionSpace] = space.baselines
        else:
            given = {text.kind: text} if isinstance(text, EmotionSpace) else text
        alone, added = {}, {}
        for name, baseline in given.items():
            samples = min(n_permutations, SAMPLES), min(n_bootstrap, SAMPLES), GAIN_FOLDS, seed
            # first: it says what is missing, should the baseline lack emotions
            added[name] = replace(increments([space], baseline, human, *samples)[0], baseline=name)
            key = hash(baseline.vectors.tobytes())
            if key not in fits:
                fits[key] = fit(baseline)
            alone[name] = replace(fits[key], layer=space.layer, site=space.site, language=space.language, kind=name)
        result.append(replace(alignment, baselines=alone, increments=added))
    return result


def text_controls(controls: Mapping[str, EmotionSpace]) -> dict[str, object]:
    """Those of some control spaces that know the texts alone."""
    return {name: control for name, control in controls.items() if name in TEXT_CONTROLS}


def require_same_stimuli(space: EmotionSpace, controls: Mapping[str, EmotionSpace]) -> None:
    """Warn of control spaces that were made of other stimuli than the space."""
    odd = {c.stimuli for c in controls.values() if c.stimuli is not None} - {space.stimuli}
    if space.stimuli is not None and odd:
        tell(
            f"the space was made of {space.stimuli}, its controls of {', '.join(sorted(odd))}: they are no controls of it. "
            "Give control_spaces the stimuli of the space (stimuli=, bank=)."
        )
