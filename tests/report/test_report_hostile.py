"""Hostile names in every result that shows itself as HTML, in every picture, in the report and in the terminal."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plotly.basedatatypes import BaseFigure

import emotion_interp
import emotion_interp as ei
from emotion_interp.core import Site
from emotion_interp.core.files import sha256_file
from emotion_interp.core.result import Result
from emotion_interp.report import render_report

_SPEC = importlib.util.spec_from_file_location("synthetic_study", Path(__file__).parent / "synthetic_study.py")
assert _SPEC and _SPEC.loader
STUDIES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(STUDIES)
EVIL, evil_bank = STUDIES.EVIL, STUDIES.evil_bank
PACKAGE = Path(emotion_interp.__file__).parent


class Elements(HTMLParser):
    """What a browser would make of names: images, links, handlers, scripts that are not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside = tag
        own = tag == "a" and all(name != "href" or str(value).startswith("#") for name, value in attrs)
        if (tag in ("img", "a", "iframe", "object", "svg") and not own) or any(
            name.startswith("on") for name, _ in attrs
        ):
            self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script" and data.startswith("document.title"):
            self.found.append(data)


def harmless(shown: Any) -> None:
    """No element or attribute that a name brought, no control character."""
    text = str(shown)
    elements = Elements()
    elements.feed(text)
    assert not elements.found
    assert "\x1b" not in text and "\u202e" not in text and "\u2066" not in text


def evil_frame(*columns: str, rows: int = 2, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({**{c: [f"{EVIL}{i}" for i in range(rows)] for c in columns}, **more})


def alignment(language: str = EVIL) -> Any:
    rng = np.random.default_rng(0)
    space = ei.EmotionSpace(
        rng.normal(size=(6, 8)), ["joy", "anger", "fear", "sadness", "calm", "love"], 0, f"k{EVIL}", language
    )
    return ei.align(space, ei.load_norms("builtin"), n_permutations=20, controls={f"control{EVIL}": space})


def results(tiny_bank: Any, tiny_subject: Any, tmp_path: Path) -> dict[str, Any]:
    """One hostile result of every class, by its name; a new class that shows itself as HTML belongs here."""
    from emotion_interp.directions.outputs import OutputScores
    from emotion_interp.directions.trained import TrainedDirections
    from emotion_interp.experiments.causal_universality import CausalUniversality
    from emotion_interp.experiments.dial_grid import DialGrid
    from emotion_interp.experiments.dose_response import DoseResponse
    from emotion_interp.experiments.steering_test import SteeringTest
    from emotion_interp.experiments.verdicts import SteeringVerdicts
    from emotion_interp.experiments.verdicts_doses import VerdictDoses
    from emotion_interp.features.controls import FeatureControls
    from emotion_interp.features.examples import TopExamples
    from emotion_interp.features.lens import TokenLens
    from emotion_interp.features.probes import SparseProbes
    from emotion_interp.features.readings import EmotionReadings
    from emotion_interp.features.transfer import Transfer
    from emotion_interp.features.universality import Universality
    from emotion_interp.geometry.cebra_space import CebraSpace
    from emotion_interp.geometry.compare import compare_spaces
    from emotion_interp.geometry.increment import Increment, PartialRSA, ReadoutGain
    from emotion_interp.geometry.residual_results import ResidualFit, ResidualGeometry
    from emotion_interp.geometry.results import LayerAlignments
    from emotion_interp.ratings.curve import LearningCurve
    from emotion_interp.ratings.pattern import PaperPattern, PatternClaim
    from emotion_interp.ratings.predict import Ratings
    from emotion_interp.report.feature_card import FeatureCard
    from emotion_interp.report.feature_map import FeatureMap
    from emotion_interp.report.profiles import SiteProfiles
    from emotion_interp.report.tokens import token_view
    from emotion_interp.report.trace import EmotionTrace
    from emotion_interp.study.findings import Examination, Finding
    from emotion_interp.study.run import Study
    from emotion_interp.subjects.architecture import Architecture
    from emotion_interp.training.sae_quality import SaeQuality
    from emotion_interp.training.sae_report import SaeFigures, SaeTrainingResult

    bank = evil_bank(tiny_bank)
    keys = {"layer": [0, 1], "feature": [1, 2]}
    named = evil_frame("site", "language", "emotion", "label", "tested_on", **keys)
    flags = {k: [True, False] for k in ("lexical", "valence_only", "positional", "transfers", "top", "selected")}
    rows = named.assign(**flags, auroc=0.5, auroc_heldout=0.5, k=1)
    rng = np.random.default_rng(0)
    spaces = {f"{n}{EVIL}": ei.EmotionSpace(rng.normal(size=(5, 4)), list("abcde")) for n in "xy"}
    claim = PatternClaim("a", EVIL, EVIL, EVIL, EVIL, EVIL, 0.5, 0.5, 0.0, 0.0, 0.0, "holds", 30, 2, True)
    figures = SaeFigures(0, 8, 2, 0.9, 2.0, 0.1, 10, 1.0, 10, False)
    dense = rows.assign(**dict.fromkeys(("means_auroc", "means_clean_auroc", "probe_auroc", "probe_clean_auroc"), 0.5))
    vectors: dict[Any, Any] = {(Site(0), EVIL, EVIL, 1): np.ones(4)}
    tokens = (EVIL, " said")
    trace = EmotionTrace(EVIL, tokens, (EVIL, "joy"), (0,), rng.random((1, 2, 2)), "features")
    norms = ei.load_norms("builtin")
    words = pd.DataFrame(
        {"word": [f"{EVIL.replace(chr(27), '').replace(chr(0x202E), '')}{i}" for i in range(9)], "valence": 5.0}
    )
    concepts = (
        ei.ConceptSet.from_words({f"joy{EVIL[:20]}": ["smile", f"glee{EVIL[:20]}"]}, "en")
        if hasattr(ei.ConceptSet, "from_words")
        else ei.concept_set("en")
    )
    numbers = ("own", "ablate", "swap", "recovered", "lo", "hi", "p", "p_holm", "cosine")
    moved = rows.assign(**dict.fromkeys(numbers, 0.5), note=EVIL, p_exchange=0.5, passes=[True, False])
    made: list[Any] = [
        bank,
        FeatureControls(rows),
        TopExamples(rows.assign(tokens=[[EVIL]] * 2, activations=[[1.0]] * 2, text=EVIL), 2),
        TokenLens(rows.assign(promoted=[[EVIL]] * 2, suppressed=[[EVIL]] * 2)),
        OutputScores(rows.assign(label="both"), {}),
        SparseProbes(rows, dense, vectors, {}),
        Transfer(EVIL, rows),
        EmotionReadings(rows.assign(kind=EVIL, source=EVIL, top1=0.5, top3=0.5, chance=0.1, n_texts=9)),
        Universality(EVIL, EVIL, rows.assign(n_both=1), rows, {}),
        compare_spaces(spaces, n_permutations=5),
        alignment(),
        LayerAlignments((alignment(),)),
        replace(norms, name=EVIL, citation=EVIL, table=words),
        LearningCurve(rows.assign(n_words_train=5)),
        PaperPattern((claim,), 0.1, 0.95, None, 10, 0),
        Ratings(rows, rows),
        FeatureCard(
            Site(0),
            1,
            EVIL,
            rows,
            (EVIL,),
            (EVIL,),
            rows.assign(tokens=[[EVIL]] * 2, activations=[[1.0]] * 2, activation=1.0, text_emotion=EVIL),
        ),
        FeatureMap(
            Site(0),
            EVIL,
            EVIL,
            rows.assign(named=EVIL, kept=[True, False], confirmed=[True, False]),
            rows.assign(place=EVIL, passes=[True, False], confirmed=[True, False]),
            rows.assign(kind=EVIL, languages=EVIL, n=1, confirmed=True, auroc_en=0.5),
            SiteProfiles(bank, Site(0)),
        ),
        token_view(list(tokens), [[0.1, 0.2], [0.3, 0.4]], [EVIL, "joy"], title=EVIL),
        trace,
        SteeringTest(rows, rows, rows, rows, rows),
        DialGrid(rows, rows, rows),
        DoseResponse(rows, rows, rows),
        TrainedDirections(rows, {}, {}),
        Study(tmp_path / "study", bank, None, None, None, None, ()),
        SaeQuality(rows),
        Increment(EVIL, *[PartialRSA(0.1, (0.0, 0.2), 0.5, 0.1)] * 2, ReadoutGain(), None, 9, 9, 0),
        SaeTrainingResult(tmp_path, EVIL, {}, (figures,)),
        concepts,
        Site(0),
        ei.Direction(np.ones(4), layer=0, name=EVIL, language=EVIL, method=EVIL),
        spaces[f"x{EVIL}"],
        ei.Subject(tiny_subject.model, tokenizer=tiny_subject.tokenizer, name=f"tiny{EVIL}"),
        CausalUniversality(EVIL, EVIL, moved, moved, {}, 0),
        ResidualGeometry(
            (ResidualFit(EVIL, Site(0), EVIL, EVIL, 3, 0.1, 0.1, alignment(), {}, {}, None),), 9, 9, (), (), 0, 0
        ),
        SteeringVerdicts(moved.assign(passes=[True, False]), rows, rows),
        VerdictDoses(rows.assign(dose=0.5, gain=0.1, chosen=[True, False]), rows),
        CebraSpace(np.eye(2, 3), [EVIL, "joy"], kind=EVIL, language=EVIL),
        ei.ReadingPlan(rows, rows, Architecture(EVIL, EVIL, 1, 2, 1, 2, 8, 9, 10, 10, 10), (), 1, 1.0),
        Examination((Finding(EVIL, "wrong", EVIL, EVIL),)),
        *interchanged(rows, tmp_path),
        *swept(rows, tmp_path),
        *judges(rows),
        *nulls(),
    ]
    return {type(one).__name__: one for one in made}


def interchanged(rows: pd.DataFrame, folder: Path) -> list[Any]:
    from emotion_interp.directions.interchange import ExportedDirection
    from emotion_interp.directions.interchange_check import Parity

    compared = rows.assign(text=EVIL, place=EVIL, state=EVIL, error=0.1, moved=0.2, passed=True)
    written = rows.assign(block=0, site=EVIL, entry=EVIL, length=1.0, scale=1.0, dose=0.5)
    return [
        Parity(compared, 0.1, EVIL),
        ExportedDirection(written, folder / "joy.npz", (), {"hook": EVIL, "format": EVIL}),
    ]


def judges(rows: pd.DataFrame) -> list[Any]:
    """Judges of hostile emotions; what they read with is not shown."""
    from emotion_interp.judges.encoder import EncoderJudge
    from emotion_interp.judges.text_judges import BundledJudge, ClassifierJudge
    from emotion_interp.judges.valence_arousal import ValenceArousalJudge

    reader: Any = None
    named: Any = SimpleNamespace(config=SimpleNamespace(name_or_path=EVIL))
    empty = np.zeros(1)
    return [
        BundledJudge((EVIL,), {EVIL: 0.5}, EVIL, reader, rows, (EVIL,)),
        ClassifierJudge((EVIL,), {EVIL: (0,)}, False, named, reader),
        EncoderJudge((EVIL,), {EVIL: 0.5}, EVIL, reader, (EVIL,), rows, (EVIL,)),
        ValenceArousalJudge((), empty, empty, empty, empty, 1.0, reader, scores={EVIL: 0.5}, reads=EVIL),
    ]


def nulls() -> list[Any]:
    from emotion_interp.directions.null_directions import NullDirections, NullTexts

    return [
        NullTexts({Site(0): np.ones((1, 2))}, (EVIL,), (EVIL,)),
        NullDirections(EVIL, Site(0), np.ones((1, 2))),
    ]


def swept(rows: pd.DataFrame, folder: Path) -> list[Any]:
    from emotion_interp.study.sweep_estimate import SweepEstimate
    from emotion_interp.study.sweep_measures import SweepCurve, SweepDifference
    from emotion_interp.study.sweep_results import SweepResults
    from emotion_interp.study.sweep_status import SweepStatus

    counts = dict.fromkeys(("units", "done", "running", "failed", "tokens", "computed", "seconds"), 1)
    at = {"subject": EVIL, "stage": EVIL, "depth": 0.5, "value": 0.5, "lo": 0.4, "hi": 0.6, "reading": EVIL, "seed": 0}
    named = rows.assign(**counts, **at, position=EVIL, kind=EVIL, shards=1)
    named.to_parquet(folder / "summary.parquet")
    return [
        SweepEstimate(named.assign(seconds_left=1.0)),
        SweepCurve(named, EVIL),
        SweepDifference(named.assign(difference=0.1, first=0.1, second=0.2), {"subject": EVIL}, {"subject": EVIL}),
        SweepResults(folder, {"summary.parquet": sha256_file(folder / "summary.parquet")}, {EVIL: EVIL}),
        SweepStatus(named, "stopped", {"host": EVIL}, (EVIL,), {EVIL: EVIL}),
    ]


def shown_classes() -> set[str]:
    """Every class of the package that shows itself as HTML."""
    found = set()
    for module in pkgutil.walk_packages([str(PACKAGE)], "emotion_interp."):
        if module.name.endswith("__main__"):
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if (
                inspect.isclass(thing)
                and hasattr(thing, "_repr_html_")
                and thing is not Result
                # a figure's labels are Plotly's to draw; its static picture has tests of its own
                and not issubclass(thing, BaseFigure)
                and thing.__module__.startswith("emotion_interp")
            ):
                found.add(thing.__name__)
    return found


def test_every_result_that_shows_itself_as_html_escapes_hostile_names(tiny_bank, tiny_subject, tmp_path):
    made = results(tiny_bank, tiny_subject, tmp_path)
    assert shown_classes() == set(made), "a new result: add a hostile one to results()"
    for name, result in made.items():
        shown = result._repr_html_()
        # the scripts of a token view are our own, its data lies in one that does not run
        shown = (
            re.sub(r"<script>.*?</script>", "", shown, flags=re.S) if name in ("TokenView", "EmotionTrace") else shown
        )
        harmless(shown)
        harmless(re.sub(r"[<>]", "", repr(result)) if name == "TokenView" else clean_repr(result))


def clean_repr(result: Any) -> str:
    """`repr` shows names as Python writes them; a terminal must not obey them either."""
    return repr(result).replace("<", "(").replace("onerror=", "")


def test_html_is_made_in_one_place():
    """No other room escapes, writes a frame as HTML or loads html: that is what core/markup is for."""
    allowed = {"core/markup.py": ("html.escape", ".to_html("), "cli/steering_grid.py": (".to_html(",)}
    for path in PACKAGE.rglob("*.py"):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()
        for word in ("html.escape", "import html", ".to_html(", "._repr_html_()  # type", "typer.echo(", "click.echo("):
            here = word in text and word not in allowed.get(name, ())
            here = here and not (name == "core/markup.py" and word == "import html")
            here = here and not (name == "cli/progress.py" and word == "typer.echo(")
            assert not here, f"{name} has {word!r}; use emotion_interp.core.markup (or cli.progress.say)"


def test_every_way_to_show_html_goes_through_the_one_place():
    """Each _repr_html_ returns what core/markup made, or what another view of the house makes."""
    ours = {"concepts_html", "facts_html", "frame_html", "summary_html", "fragment", "joined", "escaped", "_repr_html_"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "_repr_html_":
                for returned in (n.value for n in ast.walk(node) if isinstance(n, ast.Return)):
                    calls = [c.func for c in ast.walk(returned) if isinstance(c, ast.Call)]
                    names = {
                        f.id if isinstance(f, ast.Name) else f.attr
                        for f in calls
                        if isinstance(f, (ast.Name, ast.Attribute))
                    }
                    views = path.name in ("tokens.py", "feature_card.py", "trace_result.py")
                    assert names & ours or views, f"{path}, line {node.lineno}"


@pytest.fixture(scope="module")
def hostile_study() -> Any:
    return STUDIES.hostile(STUDIES.build_study())


def test_a_report_of_hostile_names_holds_no_element_of_theirs(hostile_study):
    page = render_report(hostile_study)
    from emotion_interp.report.assets import circuitsvis_bundle, packed_plotly

    for bundle in (circuitsvis_bundle(), packed_plotly()):
        page = page.replace(bundle, "")
    harmless(page)


def figures_of(study: Any) -> list[Any]:
    """Every picture of the report, as its JSON."""
    found: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") == "figure":
                found.append(json.loads(value["json"]))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, (list, tuple)):
            for inner in value:
                walk(inner)

    from emotion_interp.report.sections import SECTIONS

    for _, _, names, blocks, _ in SECTIONS:
        if any(study.has(name) for name in names):
            walk(blocks(study))
    return found


def test_labels_of_pictures_are_no_markup(hostile_study):
    figures = figures_of(hostile_study)
    assert len(figures) > 10
    texts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key != "meta":
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(figures)
    assert any("onerror" in text for text in texts)
    for text in texts:
        harmless(text.replace("<br>", "").replace("<b>", "").replace("</b>", ""))
        assert "<img" not in text and "</script" not in text


def test_the_terminal_neither_obeys_control_characters_nor_reads_markup_from_names(capsys):
    from emotion_interp.cli.main import fail
    from emotion_interp.cli.progress import console, progress_bars, say, show_frame

    frame = pd.DataFrame({EVIL: [EVIL, "[/]"], "n": [1, 2]})
    show_frame(frame, f"title {EVIL}", as_json=False)
    say(EVIL)
    with pytest.raises(SystemExit):
        fail(f"[/] no {EVIL}")
    console().print(f"written to [/red] {EVIL[-5:]}")
    with progress_bars() as bars:
        bars(f"[/] reading {EVIL}", 1, 2)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b[31m" not in text and "\u202e" not in text
    assert "[red]" in out and "[/]" in out and "[/] no" in err and "[/red]" in err


def test_a_card_of_a_hostile_bank_is_text(tiny_bank):
    from emotion_interp.bank.card import bank_card

    card = bank_card(evil_bank(tiny_bank))
    card = re.sub(r"```python.*?```", "", card, flags=re.S)
    assert "<img" not in card and "<script" not in card and "\x1b" not in card and "\u202e" not in card
