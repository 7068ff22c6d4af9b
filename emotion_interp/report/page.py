"""The HTML report: one self-contained file, no network."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from emotion_interp.core.files import write_text
from emotion_interp.core.markup import clean
from emotion_interp.report.assets import circuitsvis_bundle, packed_plotly
from emotion_interp.report.blocks import flattened
from emotion_interp.report.brief import in_brief
from emotion_interp.report.data import StudyData
from emotion_interp.report.feature_card import CARD_STYLE
from emotion_interp.report.headline import headline, take_hero
from emotion_interp.report.sections import SECTIONS
from emotion_interp.report.tokens import POLICY, RUNTIME, STYLE, TokenView
from emotion_interp.report.trace_view import RUNTIME as TRACE_RUNTIME
from emotion_interp.report.trace_view import STYLE as TRACE_STYLE

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    # autoescape by hand: the default decides by the file's ending, and a template from a string has none
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_final, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(
        files("emotion_interp.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )


def _final(value: object) -> object:
    """Names without control characters; what is HTML already stays as it is."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render_report(study: StudyData) -> str:
    """The report of one study as one HTML page.

    Everything is inside the page (Plotly once, compressed), and its Content-Security-Policy forbids requests. First stand one
    picture and four sentences; the statistics are folded below.
    A part of the study that is None says in one line that it was not run.

    Args:
        study: the study's frames.

    Example:
        >>> "Nothing was steered." in render_report(StudyData(title="Empty"))
        True
    """
    sections = []
    for anchor, title, names, blocks, absent in SECTIONS:
        made = blocks(study) if any(study.has(name) for name in names) else []
        sections.append({"anchor": anchor, "title": title, "blocks": made, "absent": f"Not run: {absent}"})
    brief = in_brief(study)
    for section, answer in zip(sections, brief, strict=True):
        section |= {"question": answer["question"], "sentences": answer["sentences"]}
        section["shown"] = bool(section["blocks"])
    drawn = any(section["blocks"] for section in sections)
    hero = take_hero(sections)
    # a calibrated trace brings its own small view; a view of other numbers needs the bundle of CircuitsVis
    coloured = any(isinstance(view, TokenView) for view in study.traces)
    traced = any(not isinstance(view, TokenView) for view in study.traces)
    return _template().render(
        title=study.title,
        subject=flattened(study.subject),
        concepts=flattened(study.concepts),
        headline=headline(study),
        hero=hero,
        sections=sections,
        traces=[view.html for view in study.traces],
        manifest=flattened(study.manifest),
        warnings=study.warnings,
        policy=POLICY,
        token_style=STYLE,
        card_style=CARD_STYLE,
        token_runtime=RUNTIME,
        plotly=packed_plotly() if drawn else "",
        trace_style=TRACE_STYLE if traced else "",
        trace_runtime=TRACE_RUNTIME if traced else "",
        circuitsvis=circuitsvis_bundle() if coloured else "",
    )


def write_report(study: StudyData, path: str | Path) -> Path:
    """Write `render_report(study)` to a file; returns its path. `EmotionInterpError` if it cannot be written."""
    write_text(path, render_report(study))
    return Path(path)
