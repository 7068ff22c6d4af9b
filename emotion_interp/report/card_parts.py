"""The parts of a feature's card that are drawn: histogram, bars, parts by quantile, neighbours, examples; all as safe HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import fragment, joined
from emotion_interp.core.spelling import clings
from emotion_interp.features.example_passes import TOP
from emotion_interp.report.blocks import cell
from emotion_interp.report.tokens import _span, visible
from emotion_interp.stats.firing import PARTS

if TYPE_CHECKING:
    from emotion_interp.report.profiles import FeatureProfile

OWN, OTHER = "#2f7fbf", "#9aa5b1"
"""Bars of the emotion and of all others; both stand out from white and from black."""
_ROW, _LABEL, _BAR = 17, 118, 170
_MOST_OUTSIDE = 24
"""Characters by which a window of tokens is completed to whole words at either end."""


def histogram_html(profile: FeatureProfile) -> Markup:
    """How strongly the feature fires on the stimuli of its emotion and on all others, and on what share it fires."""
    rates = ", ".join(f"{_percent(r)} ({la})" for la, r in profile.rates[["language", "rate"]].itertuples(index=False))
    line = fragment("<p>Fires on {} of the {} that it was found on.</p>", rates, profile.unit) if rates else Markup()
    frame = profile.histogram
    if not len(frame):
        return fragment("<h4>How often and how strongly</h4>{}", line) if line else line
    tallest = int((frame["own"] + frame["other"]).max())
    width, height, step = 340, 92, 340 / len(frame)
    bars = []
    for i, (low, high, own, other) in enumerate(frame[["low", "high", "own", "other"]].itertuples(index=False)):
        tops = [70 * own / tallest, 70 * other / tallest]
        said = f"{low:.3g} to {high:.3g}: {own} of {profile.emotion}, {other} of others"
        for tall, base, colour in ((tops[0], 0.0, OWN), (tops[1], tops[0], OTHER)):
            if tall:
                place = (f"{step * i:.1f}", f"{74 - base - tall:.1f}", f"{step - 1:.1f}", f"{tall:.1f}")
                bars.append(
                    fragment(
                        '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>',
                        *(*place, colour, said),
                    )
                )
    own, other = int(frame["own"].sum()), int(frame["other"].sum())
    said = f"{own} {profile.unit} of {profile.emotion} and {other} of others, up to {frame['high'].max():.3g}"
    return fragment(
        "<h4>How often and how strongly</h4>{}"
        '<svg role="img" aria-label="Histogram of activations: {}" viewBox="0 0 {} {}" width="{}" height="{}" '
        'style="max-width:100%;height:auto">{}<path d="M0 74.5H340" stroke="currentColor" fill="none"/>'
        '<text x="0" y="89" font-size="11" fill="currentColor">0</text>'
        '<text x="340" y="89" font-size="11" text-anchor="end" fill="currentColor">{}</text></svg>'
        '<p><small><span style="color:{}" aria-hidden="true">■</span> {} of {} ({}) <span style="color:{}" '
        'aria-hidden="true">■</span> {} of all others; activation where it fires, tallest bar {}.</small></p>',
        *(line, said, width, height, width, height, joined(bars), f"{frame['high'].max():.3g}"),
        *(OWN, own, profile.emotion, profile.language, OTHER, other, tallest),
    )


def emotions_html(profile: FeatureProfile, shown: int = 8) -> Markup:
    """Which emotions the feature is near: its AUROC for each, as bars, language by language."""
    frame = profile.emotions
    if not len(frame):
        return Markup()
    languages = sorted(frame["language"].unique(), key=lambda la: la != profile.language)
    parts = []
    for language in languages:
        rows = frame[(frame["language"] == language) & frame["auroc"].notna()]
        rows = rows.sort_values(["auroc", "emotion"], ascending=[False, True])
        marks = [
            f"{e}{' ✓' if c else ' ·' if k else ''}"
            for e, c, k in zip(rows["emotion"], rows["confirmed"], rows["kept"])
        ]
        pairs = list(zip(marks, rows["auroc"], strict=True))
        if not pairs:
            continue
        body = _bars(pairs[:shown], language)
        if pairs[shown:]:
            # as text: twenty more bars a language would make a page of all cards heavy
            rest = ", ".join(f"{name} {cell(float(value), 2)}" for name, value in pairs[shown:])
            body += fragment(
                "<details><summary>the other {}</summary><small>{}</small></details>", len(pairs[shown:]), rest
            )
        parts.append(fragment('<div class="ei-lang"><b>{}</b>{}</div>', language, body))
    return fragment(
        '<h4>Which emotions it is near</h4><div class="ei-langs">{}</div><p><small>AUROC of each emotion against all others '
        "(all {} of the bank, so those it was chosen on flatter it); bars start at .5, chance. · chosen for this emotion, "
        "✓ confirmed on the other half.</small></p>",
        *(joined(parts), profile.unit),
    )


def _bars(pairs: Sequence[tuple[str, float]], language: str) -> Markup:
    width = _LABEL + _BAR + 40
    rows = []
    for i, (name, value) in enumerate(pairs):
        y = _ROW * i
        rows.append(
            fragment(
                '<text x="{}" y="{}" text-anchor="end">{}</text><rect x="{}" y="{}" width="{}" height="11" fill="{}"/>'
                '<text x="{}" y="{}">{}</text>',
                *(
                    _LABEL - 6,
                    y + 12,
                    _short(name),
                    _LABEL,
                    y + 3,
                    f"{max(0.5, _BAR * max(0.0, 2 * value - 1)):.1f}",
                    OWN,
                ),
                *(f"{_LABEL + 5 + _BAR * max(0.0, 2 * value - 1):.1f}", y + 12, cell(float(value), 2)),
            )
        )
    said = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
    height = _ROW * len(pairs) + 2
    return fragment(
        '<svg role="img" aria-label="AUROC, {}: {}" viewBox="0 0 {} {}" width="{}" height="{}" font-size="12" '
        'fill="currentColor" style="max-width:100%;height:auto;display:block">{}</svg>',
        *(language, said, width, height, width, height, joined(rows)),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.095 else f"{100 * share:.0f} %"


def _short(name: str) -> str:
    return name if len(name) <= 19 else name[:18] + "…"


def quantiles_html(profile: FeatureProfile) -> Markup:
    """From the stimuli on which it fires most to those on which it fires least: of which emotions they are."""
    frame = profile.quantiles
    if not len(frame):
        return Markup()
    named = bool(frame["words"].astype(bool).any())
    heads = ["part", "activation", profile.unit, "commonest emotions", *(["such as"] if named else [])]
    rows = []
    for row in frame.to_dict("records"):
        cells = [row["part"], f"{row['low']:.3g} to {row['high']:.3g}", row["n"], row["emotions"]]
        rows.append([*cells, *([row["words"]] if named else [])])
    return fragment(
        "<h4>By quantile</h4>{}<p><small>The {} ({}) on which it fires, from strongest to weakest.</small></p>",
        *(table_html(heads, rows, f"By quantile, feature {profile.feature}"), profile.unit, profile.language),
    )


def nearest_html(profile: FeatureProfile, anchor: str = "") -> Markup:
    """The kept features of the site that are most like this one; links to their cards on a page that has them.

    Args:
        profile: the feature's.
        anchor: what the ids of the page's cards begin with; none: no links.
    """
    frame = profile.nearest
    if not len(frame):
        return Markup()
    rows = []
    for feature, cosine, emotion in frame[["feature", "cosine", "emotion"]].itertuples(index=False):
        link = fragment('<a href="#{}{}">{}</a>', anchor, feature, feature) if anchor else feature
        rows.append([link, cell(float(cosine), 2), emotion])
    return fragment(
        "<h4>Nearest features</h4>{}<p><small>Among the kept features of this site; cosine of {}.</small></p>",
        *(
            table_html(["feature", "cosine", "kept for"], rows, f"Nearest to feature {profile.feature}"),
            _BY[profile.nearest_by],
        ),
    )


_BY = {
    "activations": "their activations over all the bank's stimuli",
    "decoder rows": "their decoder rows",
}


def table_html(heads: Sequence[str], rows: Sequence[Sequence[object]], label: str) -> Markup:
    """A small table whose cells are escaped unless they are Markup; scrolls sideways by touch and keyboard."""
    head = joined(fragment('<th scope="col">{}</th>', h) for h in heads)
    body = joined(fragment("<tr>{}</tr>", joined(fragment("<td>{}</td>", c) for c in row)) for row in rows)
    return fragment(
        '<div class="ei-scroll" tabindex="0" role="region" aria-label="{}"><table class="ei-text"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        *(label, head, body),
    )


def examples_html(examples: pd.DataFrame) -> Markup:
    """The texts on which a feature fires most; and, where the bank has them, sentences of each part of all texts.

    Args:
        examples: rows of the bank's table "examples", with `text_emotion` filled.
    """
    part = examples["part"] if "part" in examples else pd.Series([TOP] * len(examples), index=examples.index)
    part = part.fillna(TOP)
    limit = float(examples["activation"].max()) or 1.0
    body = [
        fragment("<h4>Texts on which it fires most</h4><ol>{}</ol>", _items(rows_where(examples, part == TOP), limit))
    ]
    others = [name for *_, name in PARTS if (part == name).any()]
    if others:
        body.append(fragment("<h4>Sentences from the strongest part of the texts to the weakest</h4>"))
    for name in others:
        body.append(fragment("<p>{}</p><ul>{}</ul>", name, _items(rows_where(examples, part == name), limit)))
    note = (
        "Framed: the emotion of the text. Blue: how strongly it fires at a token; plain: read, but beside the window."
    )
    return joined([*body, fragment("<p><small>{}</small></p>", note)])


def _items(examples: pd.DataFrame, limit: float) -> Markup:
    items = []
    for row in examples.to_dict("records"):
        before, after = completed(_text(row.get("text")), "".join(row["tokens"]))
        spans = [
            Markup(_span(t, float(v), limit)) if v else fragment('<span class="ei-silent">{}</span>', visible(t))
            for t, v in zip(row["tokens"], row["activations"], strict=True)
            if t
        ]
        emotion = _text(row.get("text_emotion"))
        label = fragment('<b class="ei-of">{}</b> ', emotion) if emotion else ""
        outside = [fragment("<i>{}</i>", visible(t)) if t else "" for t in (before, after)]
        about = cell(float(row["activation"]), 2)
        items.append(
            # a text that runs from right to left turns neither its label nor its number round
            fragment(
                "<li>{}<bdi>{}{}{}</bdi> <small>{}</small></li>", label, outside[0], joined(spans), outside[1], about
            )
        )
    return joined(items)


def _text(value: object) -> str:
    missing = value is None or (isinstance(value, (float, np.floating)) and np.isnan(value))
    return "" if missing else str(value)


def completed(text: str, window: str) -> tuple[str, str]:
    """What stands before and after a window of a text, up to whole words; "…" where the text goes on.

    Chinese, Japanese and Korean letters are words of their own; a mark or joiner stays with what it belongs to.

    Example:
        >>> completed("She was overjoyed to see it", "joyed to s")
        ('…over', 'ee…')
    """
    start = text.find(window)
    if not window or start < 0:
        return "", ""
    stop = start + len(window)
    first, last = start, stop
    while first > 0 and start - first < _MOST_OUTSIDE and _within_word(text, first):
        first -= 1
    while last < len(text) and last - stop < _MOST_OUTSIDE and _within_word(text, last):
        last += 1
    before = "…" if text[:first].strip() else ""
    # after a whole sentence a gap, so that its end is seen
    gap = " " if text[last - 1] in ".!?。！？" else ""
    after = f"{gap}…" if text[last:].strip() else ""
    return before + text[first:start], text[stop:last] + after


def _within_word(text: str, place: int) -> bool:
    """Whether the characters on both sides of a place belong together."""
    left, right = text[place - 1], text[place]
    return clings(text, place) or (_spells(left) and _spells(right) and not (_ideograph(left) or _ideograph(right)))


def _spells(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LNM" or letter in "'’-"


def _ideograph(letter: str) -> bool:
    return (
        "\u2e80" <= letter <= "\u9fff"
        or "\uac00" <= letter <= "\ud7af"
        or "\uf900" <= letter <= "\ufaff"
        or letter >= "\U00020000"
    )


def emotions_of_texts(examples: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    """The emotion of each example's text: as the table has it, else as the shipped scenes do; "" where neither knows.

    Args:
        examples: rows of the bank's table "examples".
        labels: text -> emotion.
    """
    given = examples["text_emotion"] if "text_emotion" in examples else pd.Series([None] * len(examples))
    texts = examples["text"] if "text" in examples else pd.Series([""] * len(examples))
    return [labels.get(str(t), "") if pd.isna(e) else str(e) for e, t in zip(given, texts, strict=True)]
