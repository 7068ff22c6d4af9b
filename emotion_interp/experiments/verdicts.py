"""Which emotions pass when they are steered: several judges, several kinds of null that all emotions share, one p each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import Options, merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import NullDirections, NullTexts, checked_kinds
from emotion_interp.experiments.corrections import max_t_over, warn_if_none_can_pass
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.experiments.verdicts_aim import SIMPLE, Aim, Steered, aim, checked_length, steer_all
from emotion_interp.experiments.verdicts_nulls import shared_nulls
from emotion_interp.experiments.verdicts_texts import mean_answers, written
from emotion_interp.figures.dots import dot_rows
from emotion_interp.judges.coherence import STABLE_DISTINCT2, STABLE_PERPLEXITY
from emotion_interp.stats.corrections import LEAST_FOR_MAX_T, holm

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

KINDS = ("isotropic", "decoder", "shuffled")
CORRECTIONS = ("holm", "max_t")
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class SteeringVerdicts(Result):
    """Which emotions pass.

    Attributes:
        frame: one row per emotion; columns: see `steering_verdicts`.
        nulls: judge, kind, direction, and each of the judge's emotions: mean probability under each null direction.
        texts: emotion ("" for unsteered), prompt, text.
    """

    COLUMNS: ClassVar[Sequence[str]] = (
        "emotion",
        "judges",
        "p",
        "p_holm",
        "perplexity_ratio",
        "distinct_2",
        "content",
        "passes",
        "note",
    )

    frame: pd.DataFrame
    nulls: pd.DataFrame
    texts: pd.DataFrame

    @property
    def passed(self) -> list[str]:
        """The emotions that pass."""
        passing = self.frame[self.frame["passes"]]
        return passing["emotion"].tolist()

    def plot(self) -> go.Figure:
        """What steering adds to each emotion, judge by judge; grey: what 95 of 100 null directions of any kind stay below."""
        import pandas as pd

        rows = []
        for judge in [c.removeprefix("target_") for c in self.frame if c.startswith("target_")]:
            nulls = rows_where(self.nulls, self.nulls["judge"] == judge) if len(self.nulls) else self.nulls
            for row in self.frame.to_dict("records"):
                emotion, before = row["emotion"], row[f"unsteered_{judge}"]
                added = nulls[emotion].dropna() - before if emotion in nulls else pd.Series(dtype=float)
                chance = float(added.abs().quantile(0.95)) if len(added) else np.nan
                rows.append((emotion, judge, row[f"target_{judge}"] - before, chance))
        shown = pd.DataFrame(rows, columns=["name", "series", "value", "chance"]).dropna(subset=["value"])
        how = (
            "Each dot: how much likelier a judge finds the emotion in steered than in unsteered text. Grey: the widest range "
            "that 95 of 100 null directions keep to. An emotion passes by its corrected p over all judges, not by its dot."
        )
        return dot_rows(shown, title="What steering adds, by judge", x_title="probability added", how_to_read=how)

    def __repr__(self) -> str:
        judged = self.frame["p_holm"].notna()
        return f"SteeringVerdicts({len(self.passed)} of {int(judged.sum())} judged emotions pass)"


@dataclass(frozen=True, kw_only=True)
class VerdictOptions(Options):
    """What the emotions are compared with.

    Attributes:
        n_null: directions of each kind; Holm over k emotions needs at least 20 k.
        kinds: of "isotropic", "decoder", "shuffled" and "topics" (see `random_directions`).
        units: for "shuffled" and "topics": labelled texts, or a matrix of read ones as `NullTexts`. Default: the words that
            the bank's directions were made of, read again.
        folder: where texts are kept and taken again, block by block: a killed run goes on, and another judge needs none. The
            answers of a judge that has an `identity` (encoders) are kept beside them.
        alpha: of the correction.
        correction: over emotions: "holm", or "max_t" (Westfall-Young), with which fewer directions can decide.
    """

    n_null: int = 599
    kinds: Sequence[str] = KINDS
    units: NullTexts | Sequence[Stimulus] | None = None
    folder: str | Path | None = None
    alpha: float = ALPHA
    correction: str = "holm"


class VerdictChoices(TypedDict, total=False):
    """`VerdictOptions` by keyword."""

    n_null: int
    kinds: Sequence[str]
    units: NullTexts | Sequence[Stimulus] | None
    folder: str | Path | None
    alpha: float
    correction: str


@simple_call("prompts", "judges", "emotions", "layer", "dose", "method", **SIMPLE)
@checked
def steering_verdicts(
    setting: Setting,
    emotions: Sequence[str] | None = None,
    layer: int | Site | str | None = None,
    dose: float = 0.5,
    method: str = "dense",
    *,
    options: VerdictOptions | None = None,
    **choices: Unpack[VerdictChoices],
) -> SteeringVerdicts:
    """Steer with each emotion's direction, and say which ones every judge recognises beyond every kind of null.

    All directions have one length (dose times the site's scale) and write the same prompts with the same random numbers;
    all emotions are compared with the same null texts. For a judge and a kind of null p = (b + 1) / (m + 1), b of m null
    directions whose texts the judge gives at least the emotion direction's mean probability of that emotion (decoder rows
    of the emotion's own selected features do not count). An emotion's p is the largest over judges that know it and kinds
    (intersection-union: Berger 1982); Holm over the emotions that all judges know, of which there must be two or more.
    An emotion passes with Holm (or max-T, where that was asked for) below alpha, a perplexity ratio in [0.5, 2] and
    distinct-2 of at least .8.

    Also `steering_verdicts(subject, bank, prompts, judges, emotions, layer, dose, method, ...)` with the fields of a
    `Setting` by keyword, sampled among the 50 likeliest tokens unless told otherwise. A Chinese direction in English
    text: language="zh" (of the directions), text_language="en" (of prompts and judges).

    Args:
        setting: subject, bank, prompts, and as its judge a mapping name -> `TextJudge`.
        emotions: default: all of the bank.
        layer: a layer or site; default: the bank's middle layer.
        dose: in units of the site's scale, fixed beforehand (`verdict_doses`, on other prompts).
        method: of the bank's directions; with "dense_clean" the null directions made of texts are cleaned in the same way.
        options: what they are compared with.
        **choices: fields of `VerdictOptions`, by keyword.

    Returns:
        one row per emotion: emotion, judges (that know it), layer, site, method, dose, language (of the direction),
        text_language; `target_<judge>` and `unsteered_<judge>` (mean probability); `p_<judge>_<kind>`; p, p_holm, p_max_t
        (Westfall-Young over the same emotions; NaN with fewer than 19 nulls); perplexity_ratio, distinct_2,
        distinct_2_ratio; content (cosine with the unsteered text), content_overlap; n_texts; passes; note.

    Raises:
        EmotionInterpError: no mapping of judges, a dose that is not above 0, no texts, or no direction at all.
        UnknownNameError: an emotion, layer, method, kind or correction that is not there.

    Warns:
        UserWarning: so few nulls that none can pass.

    Example:
        >>> judges = {"encoder": ei.load_judge("encoder"), "stories": ei.load_judge("stories")}  # doctest: +SKIP
        >>> prompts = NEUTRAL_PROMPTS["en"].test[:8]  # doctest: +SKIP
        >>> ei.steering_verdicts(subject, bank, prompts, judges, layer=9, dose=0.6).passed  # doctest: +SKIP
    """
    import pandas as pd

    chosen = merged(VerdictOptions, options, choices)
    kinds = checked_kinds(chosen.kinds)
    if chosen.correction not in CORRECTIONS:
        raise UnknownNameError("correction", chosen.correction, CORRECTIONS)
    asked = aim(setting, emotions, layer, method)
    length = checked_length(setting, asked.site, dose)
    n_both = sum(len(asked.knowing(e)) == len(asked.judges) for e in asked.emotions) if len(asked.judges) > 1 else 0
    if chosen.correction == "holm":
        warn_if_none_can_pass(chosen.n_null, n_both, chosen.alpha)
    drawn = shared_nulls(setting, asked.site, chosen.n_null, kinds, chosen.units, chosen.folder, method)
    steered = steer_all(asked, length, chosen.folder)
    means = {}
    for kind, vectors in drawn.items():
        made = written(asked.question, asked.site, vectors.units, length, kind, chosen.folder)
        means |= {(judge, kind): v for judge, v in mean_answers(asked.judges, made, chosen.folder).items()}
    rows, nulls = [], []
    for i, emotion in enumerate(asked.emotions):
        row, nulls_of = _compared(asked, i, steered, means, drawn)
        known = {"layer": asked.site.layer, "site": str(asked.site), "method": method, "dose": float(dose)}
        known |= {"language": setting.language, "text_language": setting.spoken}
        rows.append({"emotion": emotion, "judges": ", ".join(asked.knowing(emotion)), **known, **row})
        nulls.append(nulls_of)
    frame = _verdicts(pd.DataFrame(rows), nulls, asked, chosen, setting.seed)
    return SteeringVerdicts(frame, _null_frame(asked, means), steered.texts)


def beyond(target: float, null: np.ndarray) -> float:
    """p of a target among null values that are as large by chance: (b + 1) / (m + 1)."""
    return float((1 + (null >= target - 1e-12).sum()) / (len(null) + 1))


def _compared(
    asked: Aim,
    i: int,
    steered: Steered,
    means: Mapping[tuple[str, str], np.ndarray],
    drawn: Mapping[str, NullDirections],
) -> tuple[dict[str, object], dict[tuple[str, str], np.ndarray]]:
    """One emotion's figures, and the null values that they were compared with: (judge, kind) -> [direction]."""
    emotion = asked.emotions[i]
    row: dict[str, Any] = {}
    nulls_of: dict[tuple[str, str], np.ndarray] = {}
    has_direction = asked.directions[i] is not None
    for judge in asked.knowing(emotion):
        e = list(asked.judges[judge].emotions).index(emotion)
        target = float(steered.own[judge][i, e]) if has_direction else float("nan")
        row |= {f"target_{judge}": target, f"unsteered_{judge}": float(steered.base[judge][:, e].mean())}
        for kind, random in drawn.items() if has_direction else ():
            values = means[judge, kind][_not_own(asked, random, emotion), e]
            row[f"p_{judge}_{kind}"] = beyond(target, values)
            nulls_of[judge, kind] = values
    p = [v for k, v in row.items() if k.startswith("p_")]
    row["p"] = max(p) if p else float("nan")
    row |= steered.quality[i] if has_direction else dict.fromkeys(steered.quality[i], float("nan"))
    row["n_texts"] = len(asked.question.written_prompts)
    return row, nulls_of


def _not_own(asked: Aim, drawn: NullDirections, emotion: str) -> np.ndarray:
    """Which null directions are no decoder rows of the emotion's own selected features: [direction]."""
    if drawn.latents is None:
        return np.ones(len(drawn), dtype=bool)
    own_features = np.asarray(asked.bank.selected_features(asked.site, emotion=emotion), dtype=np.int64)
    return ~np.isin(drawn.latents, own_features)


def _verdicts(
    frame: pd.DataFrame,
    nulls: Sequence[Mapping[tuple[str, str], np.ndarray]],
    asked: Aim,
    chosen: VerdictOptions,
    seed: int,
) -> pd.DataFrame:
    """Holm and max-T over the emotions that all judges know, who passes, and why the others do not."""
    several = len(asked.judges) > 1
    known = np.asarray([several and len(asked.knowing(e)) == len(asked.judges) for e in asked.emotions])
    p = frame["p"].to_numpy(dtype=np.float64)
    frame["p_holm"] = holm(np.where(known, p, np.nan))
    tested: list[int] = np.flatnonzero(known & np.isfinite(p)).tolist()
    frame["p_max_t"] = np.nan
    if len(tested) and min(len(v) for i in tested for v in nulls[i].values()) >= LEAST_FOR_MAX_T:
        targets = [{j: float(frame[f"target_{j}"].iloc[i]) for j in asked.judges} for i in tested]
        frame.loc[tested, "p_max_t"] = max_t_over(targets, [nulls[i] for i in tested], seed)
    low, high = STABLE_PERPLEXITY
    fluent = frame["perplexity_ratio"].between(low, high).to_numpy()
    varied = (frame["distinct_2"] >= STABLE_DISTINCT2).to_numpy()
    decides = frame["p_holm" if chosen.correction == "holm" else "p_max_t"]
    frame["passes"] = (decides < chosen.alpha - 1e-12).to_numpy() & fluent & varied
    notes = []
    for i, emotion in enumerate(asked.emotions):
        who, note = asked.knowing(emotion), asked.notes[i]
        if not note and not who:
            note = "no judge knows it"
        elif not note and not known[i]:
            note = f"judged by {' and '.join(who)} alone"
        elif not note and not (fluent[i] and varied[i]):
            note = "the text is not intact"
        notes.append(note)
    last = ["p", "p_holm", "p_max_t", "perplexity_ratio", "distinct_2", "distinct_2_ratio", "content"]
    last += ["content_overlap", "n_texts", "passes"]
    frame = frame[[c for c in frame.columns if c not in last] + last]
    return frame.assign(note=notes)


def _null_frame(asked: Aim, means: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for (judge, kind), values in means.items():
        names = list(asked.judges[judge].emotions)
        part = pd.DataFrame(values, columns=names)
        part = part[[e for e in asked.emotions if e in names]]
        part.insert(0, "direction", np.arange(len(values)))
        part.insert(0, "kind", kind)
        part.insert(0, "judge", judge)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
