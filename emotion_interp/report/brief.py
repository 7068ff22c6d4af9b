"""The answer in brief: sentences made from the numbers, the negative ones as plainly as the positive."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from emotion_interp.report.data import StudyData
from emotion_interp.report.places import best_places, with_places
from emotion_interp.report.plain_words import direction_words, set_words
from emotion_interp.report.verdict import ALPHA, BREAKS, NOTHING, PASSES, UNTESTED, tested_rows, verdicts

Block = dict[str, object]
"""A piece of the page, as its template reads it."""
LANGUAGES = {"en": "English", "zh": "Chinese", "es": "Spanish"}


def number(value: float | None, digits: int = 2) -> str:
    """A number for people: "0.71", "–" for missing, minus sign where negative."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def p_text(p: float | None) -> str:
    """ "p < .001" or "p = .012"; never "p = .000"."""
    if p is None or not math.isfinite(p):
        return "p not computed"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}"


def language_name(code: object) -> str:
    """English name of a language code, or the code."""
    return LANGUAGES.get(str(code), str(code))


def _interval(low: float, high: float) -> str:
    return f" [{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def _known(p: float | None) -> bool:
    return p is not None and math.isfinite(p)


def feature_sentences(study: StudyData) -> list[str]:
    """Which features carry an emotion?"""
    summary = with_places(study.frame("summary"))
    sentences = []
    for language, place in best_places(summary, "auroc_heldout").items():
        rows = summary[(summary["language"] == language) & (summary["place"] == place)]
        scores = rows["auroc_heldout"].dropna()
        low, high = scores.quantile(0.25), scores.quantile(0.75)
        text = (
            f"{language_name(language)}: on stimuli it was not selected on, the top feature of the median emotion reaches an "
            f"AUROC of {number(scores.median())} (middle half of the emotions {number(low)} to {number(high)}; "
            f"{place}, the best of {summary['place'].nunique()} on these same stimuli; chance is 0.50)."
        )
        fixed = summary[(summary["language"] == language) & summary["layer_fixed"].fillna(False).astype(bool)]
        if len(fixed):
            text += _confirmed(fixed)
        elif rows["confirmed"].notna().any():
            confirmed = int(rows["confirmed"].fillna(False).astype(bool).sum())
            everywhere = summary[(summary["language"] == language) & summary["confirmed"].fillna(False).astype(bool)]
            total = everywhere["emotion"].nunique()
            text += (
                f" {confirmed} of {len(rows)} emotions are confirmed there, {total} at any layer."
                if total
                else f" None of the {len(rows)} emotions is confirmed at any layer: there is no evidence that a single "
                "feature carries any of them."
            )
        dense = rows["dense_auroc"].median()
        if _known(dense):
            verdict = "more than" if dense > scores.median() + 0.005 else "less than"
            verdict = "about as much as" if abs(dense - scores.median()) <= 0.005 else verdict
            text += f" The plain difference-of-means direction reaches {number(dense)}, {verdict} the SAE features."
        sentences.append(text)
    return sentences


def _confirmed(rows: pd.DataFrame) -> str:
    """What is confirmed at the layer of a language that was fixed beforehand."""
    names = rows[rows["confirmed"].fillna(False).astype(bool)]["emotion"].tolist()
    place = rows["place"].iloc[0]
    if not names:
        return (
            f" None of the {len(rows)} emotions is confirmed at {place}, which was fixed on the discovery half: there is no "
            "evidence that a single feature answers to one of them and to no other."
        )
    return (
        f" {len(names)} of {len(rows)} emotions are confirmed at {place}, which was fixed on the discovery half, as answering "
        f"to their emotion and to no other that is no sibling: {', '.join(names)}."
    )


def _component(row: pd.Series, name: str, layers: int) -> str:
    r, p_layers, p = row[f"{name}_r"], row[f"{name}_p_layers"], row[f"{name}_p"]
    if _known(p_layers):
        p, corrected = p_layers, "corrected over layers and components"
    elif _known(p):
        p, corrected = min(1.0, p * layers), f"times {layers} for the layers searched" if layers > 1 else ""
    else:
        corrected = ""
    pc = f"PC{int(row[f'{name}_pc'])}" if _known(row[f"{name}_pc"]) else "the best component"
    # the texts alone have no layer
    place = "" if row["kind"] in ("text", "encoder") else f" at {row['place']}"
    start = f"{name}: {pc}{place} correlates with people's {name} at |r| = {number(abs(r))}"
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    # the sign of a component is arbitrary: the interval turns with |r|
    interval = _interval(-high, -low) if r < 0 else _interval(low, high)
    known = f", {p_text(p)}{' ' + corrected if corrected else ''}"
    if _known(p) and p >= ALPHA:
        return f"{start}{interval}{known}: not distinguishable from chance."
    return f"{start}{interval}{known}."


def geometry_sentences(study: StudyData) -> list[str]:
    """Is the model's emotion space shaped like people's?"""
    alignment = with_places(study.frame("alignment"))
    sentences = []
    for (language, kind), rows in alignment.groupby(["language", "kind"], sort=False):
        alone = kind in ("text", "encoder")
        # the texts alone are the same beside every layer: nothing was searched
        layers = 1 if alone else rows["place"].nunique()
        of = f"{language_name(language)}, {'the texts alone (TF-IDF)' if kind == 'text' else kind}"
        for name in ("valence", "arousal"):
            known = rows[rows[f"{name}_r"].notna()]
            if len(known):
                row = known.loc[known[f"{name}_r"].abs().idxmax()]
                sentences.append(f"{of}, {_component(row, name, layers)}")
        known = rows[rows["rsa_rho"].notna()]
        if len(known):
            row = known.loc[known["rsa_rho"].idxmax()]
            place = "" if alone else f" at {row['place']}"
            p = min(1.0, row["rsa_p"] * layers) if _known(row["rsa_p"]) else math.nan
            sentences.append(
                f"{of}, distances between emotions: rank correlation with people's distances"
                f"{place} is rho = {number(row['rsa_rho'])}{_interval(row['rsa_lo'], row['rsa_hi'])}, "
                f"{p_text(p)}{f' (times {layers} for the layers searched)' if _known(p) and layers > 1 else ''}"
                f"{': not distinguishable from chance' if _known(p) and p >= ALPHA else ''}."
            )
            sentences += _added(row, of)
    return sentences


def _added(row: pd.Series, of: str) -> list[str]:
    """What the space with the best distances adds to the texts alone."""
    if "rsa_given_text" not in row or not _known(row["rsa_given_text"]):
        return []
    gains = [
        f"{name} {row[f'{name}_gain_over_text']:+.2f} ({p_text(row[f'{name}_gain_over_text_p'])})"
        for name in ("valence", "arousal")
        if _known(row[f"{name}_gain_over_text"])
    ]
    return [
        f"{of}, beyond the texts themselves (TF-IDF) at {row['place']}: distances rho = {number(row['rsa_given_text'])}"
        f"{_interval(row['rsa_given_text_lo'], row['rsa_given_text_hi'])}, {p_text(row['rsa_given_text_p'])}; the model joined "
        f"to the text changes the r of the read-out by {', '.join(gains)}. That, and not the figures above, is the model's."
    ]


def rating_sentences(study: StudyData) -> list[str]:
    """Do the features predict people's word ratings?"""
    ratings = with_places(study.frame("ratings"))
    sentences = []
    for (train, test), rows in ratings.groupby(["train_language", "test_language"], sort=False):
        across = (
            f"{language_name(test)} words"
            if train == test
            else f"{language_name(test)} words, trained on {language_name(train)}"
        )
        for dimension, of in rows.groupby("dimension", sort=False):
            best = of.loc[of.groupby("feature_set", sort=False)["r"].idxmax().dropna()]
            if not len(best):
                continue
            best = best.sort_values("r", ascending=False)
            top = best.iloc[0]
            share = top["r_over_ceiling"]
            text = (
                f"{across}, {dimension}: best is the set “{set_words(top['feature_set'], LANGUAGES)}” with r = {number(top['r'])} at "
                f"{top['place']}"
            )
            text += f" ({number(100 * share, 0)}% of what the ratings' reliability allows)" if _known(share) else ""
            others = [
                f"{set_words(row['feature_set'], LANGUAGES)} {number(row['r'])}" for _, row in best.iloc[1:].iterrows()
            ]
            text += f"; other sets at their best layers: {', '.join(others)}." if others else "."
            if top["r"] < 0.1:
                text += " That is next to nothing: these features do not predict the ratings."
            sentences.append(text)
    return sentences


def steering_sentences(study: StudyData) -> list[str]:
    """Do the features cause anything?"""
    steering = study.frame("steering")
    sentences = []
    groups = [
        (f"Steering with {direction_words(method)}", rows) for method, rows in steering.groupby("method", sort=False)
    ]
    if steering["chosen"].notna().any():
        chosen = "Steering with each emotion's best kind of direction, layer and dose, fixed on other prompts"
        groups.insert(0, (chosen, tested_rows(steering)))
    for method, rows in groups:
        found = verdicts(rows)
        good, broken, rest = ([n for n, v in found.items() if v == kind] for kind in (PASSES, BREAKS, NOTHING))
        if not found:
            continue
        if UNTESTED in found.values():
            sentences.append(f"{method}: {len(found)} emotions were steered, without a test against chance.")
            continue
        steered = rows[rows["dose"] != 0]
        if not good and not broken:
            ps = steered["p_holm"].where(steered["p_holm"].notna(), steered["p"])
            sentences.append(
                f"{method}: for none of the {len(found)} emotions does any dose raise the target emotion "
                f"beyond random directions (smallest {p_text(float(ps.min()))} after Holm). No causal effect was shown."
            )
            continue
        several = steered.groupby("emotion")["dose"].nunique().max() > 1
        text = (
            f"{method}: for {len(good)} of {len(found)} emotions {'some dose' if several else 'it'} raises the target "
            "emotion beyond isotropic random directions of the same size (Holm p < .05) while the text stays fluent"
        )
        text += f" ({', '.join(map(str, good))})." if good else "."
        text += f" For {', '.join(map(str, broken))} it does so only where the text breaks down." if broken else ""
        text += f" For {len(rest)} no effect was shown." if rest else ""
        if steered["method"].nunique() > 1 and good:
            kinds = steered[steered["emotion"].isin(good)].drop_duplicates("emotion")["method"].value_counts()
            text += f" Directions: {', '.join(f'{kind} {count}' for kind, count in kinds.items())}."
        sentences.append(text)
    return sentences


QUESTIONS: tuple[tuple[str, str, str, Callable[[StudyData], list[str]]], ...] = (
    ("summary", "Which features carry an emotion?", "features", feature_sentences),
    ("alignment", "Is the model's emotion space shaped like people's?", "geometry", geometry_sentences),
    ("ratings", "Do the features predict people's ratings of words?", "ratings", rating_sentences),
    ("steering", "Do the features cause anything?", "steering", steering_sentences),
)


def in_brief(study: StudyData) -> list[Block]:
    """The questions with their sentences; a part that was not run says so.

    Returns:
        One dict per question: `question`, `anchor` (section of the page), `sentences`.
    """
    answers = []
    for name, question, anchor, sentences in QUESTIONS:
        lines = sentences(study) if study.has(name) else []
        answers.append({"question": question, "anchor": anchor, "sentences": lines or ["This part was not run."]})
    return answers
