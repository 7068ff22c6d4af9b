"""What stands beside a steering figure: no steering, a prompt that asks for it, and other directions of the same length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import pandas as pd

from emotion_interp.activations import read_stimuli
from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import OF_TEXTS, NullDirections
from emotion_interp.experiments.grid import RESAMPLES
from emotion_interp.experiments.nulls import as_the_method, drawn_nulls, no_own, random_answers
from emotion_interp.experiments.question import GridQuestion, NullChoices, NullOptions, ask, check_kinds, make_nulls
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.features.dense import contrast_means
from emotion_interp.features.probe_fits import dense_cleaner
from emotion_interp.features.retest import design_of
from emotion_interp.judges.judging import (
    Continuations,
    continue_all,
    judged,
    nothing,
)
from emotion_interp.steering.interventions import RowInterventions, check_dose, scale_of

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

PROMPT_CONTROLS: dict[str, tuple[str, ...]] = {
    "en": ("Write it with {label}: ", "This is a story full of {label}. "),
    "zh": ("请用{label}的心情写：", "这是一个充满{label}的故事。"),
    "es": ("Escríbelo con {label}: ", "Esta es una historia llena de {label}. "),
}
"""Language -> what is put before a prompt instead of steering; {label} becomes the emotion's name in that language."""

CONTROLS = ("none", "prompt", "random", "decoder", "topics", "shuffled", "other emotions", "strongest other", "dense")
CONTROLS += ("steered",)
RANDOM = ("random", "decoder", "topics", "shuffled")
CLEANED = ("dense", "dense_clean")
"""Methods beside which directions of shuffled labels can stand."""


@checked
def shuffled_directions(
    subject: Subject,
    concepts: Any,
    bank: Any,
    n: int = 20,
    seed: int = 0,
    language: str = "en",
    stimuli: str | Sequence[Stimulus] | None = None,
    method: Literal["dense", "dense_clean"] = "dense",
) -> dict[Site, np.ndarray]:
    """Difference-of-means directions from shuffled labels, made as the bank's own were: the stimuli are read again.

    The labels of the discovery units are permuted, neutral ones among them, so that the shuffled classes are as large
    as the real ones.

    Args:
        subject: the bank's subject.
        concepts: the concept set the bank was found with.
        bank: a `FeatureBank`; says how stimuli were split and pooled.
        n: shuffles.
        seed: of the shuffles.
        language: of the stimuli.
        stimuli: where the bank was found with a user's own texts, those texts.
        method: beside directions of which method they are to stand; "dense_clean" takes out what neutral units vary in.

    Returns:
        site -> [shuffle, emotion, d_model], emotions in the bank's order.

    Raises:
        EmotionInterpError: n below 1, or the bank is of another subject or of texts that were not given.
        UnknownNameError: another method, or a language without stimuli.

    Example:
        >>> shuffled_directions(subject, ei.concept_set("en"), bank, n=99)[Site(2)].shape  # doctest: +SKIP
        (99, 28, 256)
    """
    if n < 1:
        raise EmotionInterpError(f"at least one shuffle is needed, got n={n!r}.")
    if method not in CLEANED:
        raise UnknownNameError("method of shuffled directions", method, CLEANED)
    require_same_subject(bank, subject)
    words: pd.DataFrame
    words, shown, units = design_of(concepts, bank, stimuli)
    if language not in set(words["language"]):
        raise UnknownNameError("language of the stimuli", language, sorted(set(words["language"])))
    reading = {"position": bank.manifest["position"], "skip": int(bank.manifest.get("skip", 8))}
    readings = read_stimuli(subject, shown, units, sites=bank.sites, **reading)
    chosen = words[(words["language"] == language) & (words["side"] == "discovery")]
    emotions = list(bank.emotions)
    if not set(emotions) <= set(chosen["emotion"]):
        raise UnknownNameError("language of the stimuli", language, sorted(set(words["language"])))
    index = {e: i for i, e in enumerate(emotions)} | {"neutral": len(emotions)}
    neutral = len(emotions) if (chosen["emotion"] == "neutral").any() else None
    codes = chosen["emotion"].map(index).to_numpy()
    count = len(emotions) + (neutral is not None)
    orders = [generator(seed, "shuffled labels", language, i).permutation(len(codes)) for i in range(n)]
    result = {}
    for site, reading in readings.items():
        values = reading.dense[chosen["unit"].to_numpy()].astype(np.float64)
        clean = dense_cleaner(values, codes, neutral) if method == "dense_clean" else np.asarray
        result[site] = np.stack(
            [clean(contrast_means(values, codes[order], count, neutral)[: len(emotions)]) for order in orders]
        )
    return result


@dataclass(frozen=True, eq=False)
class _Answers:
    """Judged probabilities [direction, prompt, emotion] of whole groups of directions, each computed once."""

    question: GridQuestion
    bank: FeatureBank
    language: str
    shuffled: Mapping[Site, np.ndarray]
    known: dict[tuple[object, ...], np.ndarray]
    drawn: dict[tuple[Site, str], dict[str, NullDirections]]

    def of(self, group: str, site: Site, dose: float, method: str = "", kind: str = "") -> np.ndarray:
        """`method` is that of the emotions' directions, or the emotion of shuffled ones; `kind` is of random ones."""
        key = (group, site, dose, method, kind)
        if key not in self.known:
            subject = self.question.subject
            scale = scale_of(subject, site, getattr(self.bank, "scales", None))
            if group == "random":
                self.known[key] = random_answers(self.question, scale, dose, self.nulls(site, method)[kind])
                return self.known[key]
            if group == "shuffled":
                # the emotion's own class, so that as many texts stand behind it
                flat = self.shuffled[site][:, list(self.bank.emotions).index(method)]
            else:
                flat = np.stack([_vector(self.bank, e, site, self.language, method) for e in self.question.asked])
            lengths = np.linalg.norm(flat, axis=1, keepdims=True)
            unit = np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0)
            answer = judged(self.question, RowInterventions({site: (dose * scale * unit).astype(np.float32)}))
            # a direction the bank does not have says nothing
            self.known[key] = np.where(lengths[:, :, None] > 0, answer, np.nan)
        return self.known[key]

    def nulls(self, site: Site, method: str = "") -> dict[str, NullDirections]:
        """The random directions of a site, drawn once for all doses, as they stand beside a method's."""
        if (site, method) not in self.drawn:
            asked, key = self.question.nulls, (site, method)
            if method:
                self.drawn[key] = as_the_method(self.nulls(site), method, asked.texts, asked.bank)
            else:
                self.drawn[key] = drawn_nulls(self.question, site)
        return self.drawn[site, method]


@dataclass(frozen=True, kw_only=True)
class ControlOptions(NullOptions):
    """What stands beside the emotion's own direction.

    Attributes:
        others: emotions whose directions are the other emotions; default: all of the bank that the judge can judge.
        shuffled: `shuffled_directions(...)`, in place of the kind "shuffled": those of "dense_clean" where the choices are,
            else of "dense"; one method for all choices then.
        prefixes: templates with {label}, put before each prompt; default: those of `PROMPT_CONTROLS` in the prompts' language.
    """

    others: Sequence[str] | None = None
    shuffled: Mapping[Site, np.ndarray] | None = None
    prefixes: Sequence[str] | None = None


class ControlChoices(NullChoices, total=False):
    """`ControlOptions` by keyword."""

    others: Sequence[str] | None
    shuffled: Mapping[Site, np.ndarray] | None
    prefixes: Sequence[str] | None


@simple_call("choices", "prompts", "judge", "language", max_new_tokens=0)
@checked
def steering_controls(
    setting: Setting, choices: Any, *, options: ControlOptions | None = None, **more: Unpack[ControlChoices]
) -> pd.DataFrame:
    """Every control of a steering figure at the site, dose and kind of direction fixed beforehand.

    Controls, each of the same length at the same site where it is a direction: "none" (unsteered); "prompt" (the
    emotion asked for in words before the prompt; a next-word judge may be primed by the named emotion); "random"
    (isotropic); "decoder", "topics", "shuffled" (the other `kinds` of random direction; "shuffled" also by `shuffled`, the
    emotion's own class under shuffled labels); "other emotions" and "strongest other" (the
    emotion's probability under the other emotions' directions: mean, and the one that raises it most); "dense" (the
    difference of means); "steered" (the emotion's own direction).

    Also `steering_controls(subject, bank, choices, prompts, ...)` with every field of a `Setting`, and options of `decode`,
    by keyword; texts are then written only where `max_new_tokens` is above 0.

    Args:
        setting: subject, bank, judge and the rest; its prompts are other ones than those on which the choices were made.
        choices: frame with emotion, layer, method, dose, and site where a layer has several (`best_site(...)`, or the chosen rows of `steering_test`).
        options: which other directions, random ones and prefixes; or its fields by keyword.
        **more: fields of `ControlOptions`, by keyword.

    Returns:
        one row per emotion x control: emotion, layer, site, method, dose, control, n (directions or templates), target, shift
        (mean over prompts, and over directions), lo, hi (of the shift; 95% percentile bootstrap over prompts), p (share
        of the control's directions that shift at least as far as the emotion's own, (1 + b) / (n + 1); of "steered" the
        largest over the kinds of random direction), which (of "strongest other"). Of several judges, one row for each
        (column judge) that knows the emotion, and p of "steered" is the largest over them as well.

    Raises:
        EmotionInterpError: no choices, or nothing that can be judged.
        UnknownNameError: a language without templates.

    Example:
        >>> steering_controls(subject, bank, best_site(tuning), NEUTRAL_PROMPTS["en"].test)  # doctest: +SKIP
    """
    asked, bank, frame = merged(ControlOptions, options, more), setting.bank, choices
    needed = {"emotion", "layer", "method", "dose"}
    if not needed <= set(frame) or not len(frame):
        raise EmotionInterpError(
            f"choices are rows with {sorted(needed)}; got columns {list(frame)}, {len(frame)} rows."
        )
    if asked.prefixes is None and setting.spoken not in PROMPT_CONTROLS:
        raise UnknownNameError("language of a prompt control", setting.spoken, PROMPT_CONTROLS)
    wanted = list(dict.fromkeys(frame["emotion"]))
    templates = PROMPT_CONTROLS[setting.spoken] if asked.prefixes is None else list(asked.prefixes)
    if not templates:
        raise EmotionInterpError("prefixes are templates with {label}, at least one; got none.")
    check_kinds(asked)
    if setting.judge is not None:
        # it has to know one of those that were chosen, whatever it knows of the others
        ask(setting, wanted)
    pool = bank.emotions if asked.others is None else asked.others
    question = ask(setting, [*wanted, *(e for e in pool if e not in wanted)])
    sites = [bank.site(c.get("site") or c["layer"]) for c in frame.to_dict("records")]
    question = replace(question, nulls=make_nulls(setting, asked, sites))
    answers = _Answers(question, bank, setting.language, asked.shuffled or {}, {}, {})
    base = judged(question, nothing(question.subject))[0]
    n = len(question.prompts)
    picks = generator(setting.seed, "bootstrap over prompts", n).integers(0, n, size=(RESAMPLES, n))
    records: list[dict[str, object]] = []
    for choice, site in zip(frame.to_dict("records"), sites, strict=True):
        label = _label(bank, choice["emotion"], setting.spoken)
        prefixed = np.stack([_prefixed(question, template.format(label=label)) for template in templates])
        key = {"emotion": choice["emotion"], "layer": choice["layer"], "site": str(site)}
        key |= {"method": choice["method"], "dose": choice["dose"]}
        records += [{**key, **row} for row in _choice_rows(answers, choice, site, base, prefixed, picks)]
    return pd.DataFrame(records)


def _choice_rows(
    answers: _Answers, choice: dict[str, Any], site: Site, base: np.ndarray, prefixed: np.ndarray, picks: np.ndarray
) -> list[dict[str, object]]:
    """The rows of one choice, for every judge that knows the emotion."""
    question, emotion, rows = answers.question, choice["emotion"], []
    for judge in question.judge_names:
        column = question.column(emotion, judge)
        if column is None:
            continue
        groups = _groups(answers, site, check_dose(choice["dose"]), choice["method"], emotion, column)
        groups |= {"prompt": prefixed[:, :, column], "none": base[None, :, column]}
        rows += _control_rows(question, emotion, groups, base[:, column], picks, judge)
    beaten = [row["p"] for row in rows if row["control"] in RANDOM and np.isfinite(row["p"])]
    for row in rows:
        if row["control"] == "steered" and beaten:
            row["p"] = max(beaten)
    return rows


def _control_rows(
    question: GridQuestion, emotion: str, groups: dict[str, np.ndarray], base: np.ndarray, picks: np.ndarray, judge: str
) -> list[dict[str, object]]:
    """One row for each control, from the emotion's probability under every group of directions [direction, prompt]."""
    gain = float((groups["steered"][0] - base).mean())
    finite = {name: np.isfinite(values).all(1) for name, values in groups.items()}
    names = np.asarray([x for x in question.asked if x != emotion])[finite["other emotions"]]
    groups = {name: values[finite[name]] for name, values in groups.items()}
    rows = []
    for control in CONTROLS:
        which, source = "", "other emotions" if control == "strongest other" else control
        if source not in groups or not len(groups[source]):
            continue
        values = groups[source]
        if control == "strongest other":
            best = int(values.mean(1).argmax())
            values, which = values[best : best + 1], str(names[best])
        shifts = values - base
        low, high = np.percentile(shifts.mean(0)[picks].mean(1), [2.5, 97.5])
        several = control in (*RANDOM, "other emotions") and np.isfinite(gain)
        beaten = (1 + (shifts.mean(1) >= gain).sum()) / (len(values) + 1) if several else float("nan")
        row: dict[str, object] = {"judge": judge} if judge else {}
        row |= {"control": control, "n": len(values), "target": float(values.mean()), "shift": float(shifts.mean())}
        rows.append(row | {"lo": float(low), "hi": float(high), "p": float(beaten), "which": which})
    return rows


def _groups(
    answers: _Answers, site: Site, dose: float, method: str, emotion: str, column: int
) -> dict[str, np.ndarray]:
    """The emotion's probability under every group of directions: [direction, prompt]."""
    question = answers.question
    e = question.asked.index(emotion)
    emotions = answers.of("emotions", site, dose, method)[:, :, column]
    groups = {"steered": emotions[e : e + 1], "other emotions": np.delete(emotions, e, 0)}
    groups["dense"] = answers.of("emotions", site, dose, "dense")[e : e + 1, :, column]
    for kind, drawn in answers.nulls(site, method).items():
        if kind == "shuffled" and site in answers.shuffled:
            continue
        # only those made of texts depend on the method
        random = answers.of("random", site, dose, method if kind in OF_TEXTS else "", kind)[:, :, column]
        groups["random" if kind == "isotropic" else kind] = random[no_own(question, drawn, emotion)]
    if site in answers.shuffled:
        groups["shuffled"] = answers.of("shuffled", site, dose, emotion)[:, :, column]
    return groups


def _vector(bank: FeatureBank, emotion: str, site: Site, language: str, method: str) -> np.ndarray:
    """An emotion's direction, zeros where the bank has none."""
    place = site.layer if bank.site(site.layer) == site else site
    try:
        direction = bank.direction(emotion, layer=place, language=language, method=method)
    except EmotionInterpError:
        return np.zeros(bank.direction(bank.emotions[0], layer=place, language=language, method="dense").vector.size)
    return np.asarray(direction.unit, dtype=np.float64)


def _label(bank: FeatureBank, emotion: str, language: str) -> str:
    """The emotion's name in a language, as far as the bank knows it."""
    labels = getattr(bank, "manifest", {}).get("labels", {})
    return str(labels.get(language, {}).get(emotion, emotion))


def _prefixed(question: GridQuestion, prefix: str) -> np.ndarray:
    """Judged probability after every prompt with a text put before it, which a text judge does not see: [prompt, emotion]."""
    asked = replace(question, prompts=tuple(prefix + p for p in question.prompts))
    rows = nothing(question.subject)
    if not question.judges_texts:
        return judged(asked, rows)[0]
    made = continue_all(asked, rows)
    bare = Continuations(made.tokens, [[text[len(prefix) :] for text in row_texts] for row_texts in made.texts])
    return judged(asked, rows, bare)[0]
