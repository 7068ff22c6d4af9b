"""The steering stage of a study: four fifths of a run, in parts that a killed run keeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from emotion_interp.bank.shipped import shipped_folder
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import atomic_file
from emotion_interp.experiments import dose_response, steering_test
from emotion_interp.experiments.dose_response import DoseOptions
from emotion_interp.experiments.grid import make_cells
from emotion_interp.experiments.setting import Setting
from emotion_interp.experiments.steering_test import SteeringTestOptions
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
NULLS = "nulls"
"""Folder beside a shipped bank with the answers of random directions."""
NEW_TOKENS = 20
"""Length of the texts that decide whether a cell is intact, as in `steering_test`."""


def steering_frames(
    subject: Subject,
    bank: FeatureBank,
    settings: StudySettings,
    tick: Tick | None = None,
    folder: StudyFolder | None = None,
    key: object = None,
) -> dict[str, pd.DataFrame]:
    """The steering test (layer and dose fixed on other prompts) and steered text beside unsteered text.

    In the `folder` of a study its parts are kept under the stage's `key` until the stage is done: the tuning grid of each
    layer, blocks of random directions, the texts of each emotion.
    """
    language = "en" if "en" in bank.languages else bank.languages[0]
    if language not in NEUTRAL_PROMPTS:
        raise EmotionInterpError(f"there are no neutral prompts in {language!r}; leave the steering stage out.")
    prompts = NEUTRAL_PROMPTS[language]
    judge = load_judge(language=language) if settings.judge == "classifier" else None
    setting = Setting(subject, bank, prompts.test, judge, language, max_new_tokens=NEW_TOKENS, seed=settings.seed)
    emotions = [e for e in settings.steering_emotions if e in bank.emotions]
    null_folder = None if folder is None else folder.path / UNITS / "random"
    if null_folder is not None and settings.stimuli == "shipped":
        take_kept_nulls(subject.name, null_folder)
    parts = _Parts(setting, settings, emotions, null_folder, folder, key)
    grids, places = [], list(bank.layers if settings.steered_layers is None else settings.steered_layers)
    for layers in _groups(bank, emotions, settings, language, places):
        grids.append(parts.made(["tuning", layers], parts.grid, layers))
        if tick is not None:
            tick("steering: layers tried", places.index(layers[-1]) + 1, len(places))
    chosen = SteeringTestOptions(
        n_random=settings.n_random, null_folder=null_folder, tuning=pd.concat(grids, ignore_index=True)
    )
    tried = (places, settings.doses, settings.methods)
    frame = steering_test(setting, emotions, prompts.tune, *tried, options=chosen).to_frame()
    # an emotion whose every direction was refused (zero vector, no coherent dose) has no layer
    usable = frame.dropna(subset=["layer", "dose", "shift"])
    best = usable[usable["chosen"]].sort_values("emotion")
    samples, texts = list(prompts.test[:2]), []
    plain = subject.generate(samples, max_new_tokens=settings.new_tokens, seed=settings.seed) if len(best) else []
    for i, row in enumerate(best.to_dict("records"), 1):
        if tick is not None:
            tick("steered text", i, len(best))
        told = {"emotion": row["emotion"], "layer": int(row["layer"])}
        told |= {"dose": float(row["dose"]), "method": row["method"]}
        texts.append(parts.made(["texts", told], parts.texts, told, samples, plain))
    return {"steering": frame, "steered_text": pd.concat(texts, ignore_index=True) if texts else pd.DataFrame()}


@dataclass(frozen=True, eq=False)
class _Parts:
    """The parts of the stage, each made once for a study folder."""

    setting: Setting
    settings: StudySettings
    emotions: Sequence[str]
    null_folder: Path | None
    folder: StudyFolder | None
    key: object

    def made(self, name: object, make: Callable[..., pd.DataFrame], *given: object) -> pd.DataFrame:
        """A part, as it lies in the folder or made now."""
        return make(*given) if self.folder is None else self.folder.unit([self.key, name], partial(make, *given))

    def grid(self, layers: Sequence[int]) -> pd.DataFrame:
        """The tuning grid of some layers."""
        trial = replace(self.setting, prompts=NEUTRAL_PROMPTS[self.setting.language].tune)
        # nothing is claimed from the tuning prompts: too few random directions for a corrected p are enough to choose
        few = DoseOptions(n_random=TUNE_RANDOM, null_folder=self.null_folder, alpha=None)
        doses, methods = self.settings.doses, list(self.settings.methods)
        return dose_response(trial, self.emotions, doses, layers, methods, options=few).to_frame()

    def texts(self, told: dict[str, Any], samples: Sequence[str], plain: Sequence[str]) -> pd.DataFrame:
        """Steered beside unsteered text of one emotion, at its chosen layer and dose."""
        subject, bank = self.setting.subject, self.setting.bank
        place = {"layer": told["layer"], "language": self.setting.language, "method": told["method"]}
        with steer(subject, bank.direction(told["emotion"], **place), told["dose"], "from_last_prompt_token"):
            new = {"max_new_tokens": self.settings.new_tokens, "seed": self.settings.seed}
            texts = subject.generate(list(samples), **new)
        rows = zip(samples, plain, texts, strict=True)
        return pd.DataFrame([{**told, "prompt": p, "unsteered": u, "steered": s} for p, u, s in rows])


def take_kept_nulls(name: str, null_folder: Path) -> None:
    """Put the answers of random directions that are shipped beside a bank where the study keeps its own.

    Each is named by the hash of all that it depends on (weights, site, dose, prompts, judge, directions), so one that does not
    fit this study is never taken.
    """
    shipped = shipped_folder(name)
    for block in sorted((shipped / NULLS).glob("*.npy")) if shipped is not None else ():
        with atomic_file(null_folder / block.name) as temporary:
            shutil.copyfile(block, temporary)


def _groups(
    bank: FeatureBank, emotions: Sequence[str], settings: StudySettings, language: str, places: Sequence[int]
) -> list[list[int]]:
    """The layers, each a part of its own; one without any direction goes with its neighbour, which has one."""
    parts: list[list[int]] = []
    waiting: list[int] = []
    for layer in places:
        try:
            make_cells(bank, emotions, [layer], list(settings.methods), list(settings.doses), language)
        except EmotionInterpError:
            (parts[-1] if parts else waiting).append(layer)
            continue
        parts.append([*waiting, layer])
        waiting = []
    return parts or [waiting]
