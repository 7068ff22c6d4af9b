"""The steering stage of a study: four fifths of a run, in parts that a killed run keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.experiments import dose_response, steering_test
from emotion_interp.experiments.grid import make_cells
from emotion_interp.judges import load_judge
from emotion_interp.judges.prompts import NEUTRAL_PROMPTS
from emotion_interp.steering import steer
from emotion_interp.study.settings import StudySettings
from emotion_interp.study.stages import Tick
from emotion_interp.study.store import UNITS

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.study.store import StudyFolder
    from emotion_interp.subjects import Subject

TUNE_RANDOM = 24
"""Random directions at each site and dose of the tuning grid, as in `steering_test`."""
NEW_TOKENS = 20
"""Length of the texts that decide whether a cell is intact, as in `steering_test`."""


def steering_frames(
    subject: Subject,
    bank: FeatureBank,
    settings: StudySettings,
    tick: Tick | None = None,
    folder: StudyFolder | None = None,
    key: Any = None,
) -> dict[str, pd.DataFrame]:
    """The steering test (layer and dose fixed on other prompts) and steered text beside unsteered text.

    In the `folder` of a study its parts are kept under the stage's `key` until the stage is done: the tuning grid of each
    layer, blocks of random directions, the texts of each emotion.
    """
    language = "en" if "en" in bank.languages else bank.languages[0]
    if language not in NEUTRAL_PROMPTS:
        raise EmotionInterpError(f"there are no neutral prompts in {language!r}; leave the steering stage out.")
    prompts = NEUTRAL_PROMPTS[language]
    judge: Any = load_judge(language=language) if settings.judge == "classifier" else None
    emotions = [e for e in settings.steering_emotions if e in bank.emotions]
    common: dict[str, Any] = {"language": language, "judge": judge, "seed": settings.seed}
    common |= {"max_new_tokens": NEW_TOKENS, "null_folder": None if folder is None else folder.path / UNITS / "random"}

    def kept(name: Any, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        return make() if folder is None else folder.unit([key, name], make)

    def grid(layers: Sequence[int]) -> pd.DataFrame:
        methods = list(settings.methods)
        with warnings.catch_warnings():
            # nothing is claimed from the tuning prompts: too few random directions for a corrected p are enough to choose
            warnings.filterwarnings("ignore", message=".*random directions p is at least")
            found = dose_response(
                subject, bank, emotions, settings.doses, prompts.tune, layers, methods, n_random=TUNE_RANDOM, **common
            )
        return found.to_frame()

    grids = []
    for layers in _parts(bank, emotions, settings, language):
        grids.append(kept(["tuning", layers], lambda layers=layers: grid(layers)))
        if tick is not None:
            tick("steering: layers tried", bank.layers.index(layers[-1]) + 1, len(bank.layers))
    frame = steering_test(
        subject,
        bank,
        emotions,
        tune_prompts=prompts.tune,
        test_prompts=prompts.test,
        layers=bank.layers,
        doses=settings.doses,
        methods=settings.methods,
        n_random=settings.n_random,
        tuning=pd.concat(grids, ignore_index=True),
        **common,
    ).to_frame()
    # an emotion whose every direction was refused (zero vector, no coherent dose) has no layer
    usable: Any = frame.dropna(subset=["layer", "dose", "shift"])
    best = usable[usable["chosen"]].sort_values("emotion")
    samples, texts = list(prompts.test[:2]), []
    plain = subject.generate(samples, max_new_tokens=settings.new_tokens, seed=settings.seed) if len(best) else []
    for i, row in enumerate(best.to_dict("records"), 1):
        if tick is not None:
            tick("steered text", i, len(best))
        told = {
            "emotion": row["emotion"],
            "layer": int(row["layer"]),
            "dose": float(row["dose"]),
            "method": row["method"],
        }
        made = kept(["texts", told], lambda told=told: _texts(subject, bank, settings, language, told, samples, plain))
        texts.append(made)
    return {"steering": frame, "steered_text": pd.concat(texts, ignore_index=True) if texts else pd.DataFrame()}


def _parts(bank: FeatureBank, emotions: Sequence[str], settings: StudySettings, language: str) -> list[list[int]]:
    """The layers, each a part of its own; one without any direction goes with its neighbour, which has one."""
    parts: list[list[int]] = []
    waiting: list[int] = []
    for layer in bank.layers:
        try:
            make_cells(bank, emotions, [layer], list(settings.methods), list(settings.doses), language)
        except EmotionInterpError:
            (parts[-1] if parts else waiting).append(layer)
            continue
        parts.append([*waiting, layer])
        waiting = []
    return parts or [waiting]


def _texts(
    subject: Subject,
    bank: FeatureBank,
    settings: StudySettings,
    language: str,
    told: dict[str, Any],
    samples: Sequence[str],
    plain: Sequence[str],
) -> pd.DataFrame:
    """Steered beside unsteered text of one emotion, at its chosen layer and dose."""
    direction = bank.direction(told["emotion"], layer=told["layer"], language=language, method=told["method"])
    with steer(subject, direction, dose=told["dose"], positions="from_last_prompt_token"):
        texts = subject.generate(list(samples), max_new_tokens=settings.new_tokens, seed=settings.seed)
    rows = zip(samples, plain, texts, strict=True)
    return pd.DataFrame([{**told, "prompt": p, "unsteered": before, "steered": after} for p, before, after in rows])
