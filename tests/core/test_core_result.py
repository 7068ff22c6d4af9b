"""The one shape of a result: rows, settings, views, plots and keeping; no model is needed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.result import SHOWN, Result

WIDE = pd.DataFrame(
    {"layer": [0, 0, 1], "language": ["en", "zh", "en"], **{f"x{i}": [1.0, 2.0, 3.0] for i in range(20)}}
)


@dataclass(frozen=True, eq=False, repr=False)
class Wide(Result):
    """Many columns."""

    frame: pd.DataFrame


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    value: float


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Result):
    """Rows as dataclasses, kept by a bank as its tokens."""

    rows: tuple[Row, ...]

    COLUMNS = ("value", "name", "never")
    ROWS = "rows"
    TABLE = "tokens"


@checked
def make(emotions: list[str], seed: int = 3, table: Any = None) -> Wide:
    """A result."""
    return Wide(WIDE)


def test_a_result_knows_the_call_that_made_it():
    made = make(["joy"], table=WIDE)
    assert made.settings == {"function": "make", "emotions": ["joy"], "seed": 3, "table": "DataFrame"}
    assert replace(made).to_frame().equals(WIDE) and Wide(WIDE).settings == {}
    with pytest.raises(FrozenInstanceError):
        made.frame = None


def test_a_view_has_a_dozen_columns_and_the_rest_on_request():
    wide, rows = Wide(WIDE), Rows((Row("a", 1.0), Row("b", 2.0)))
    assert list(wide.view()) == list(WIDE.columns[:SHOWN]) and len(wide.view("all").columns) == 22
    assert list(wide.view(["x19", "layer"])) == ["x19", "layer"] and list(rows.view()) == ["value", "name"]
    with pytest.raises(UnknownNameError, match="unknown column 'x99'"):
        wide.view("x99")
    assert wide._repr_html_().count("<th>") < 20 and repr(wide) == "Wide(3 rows)"
    assert rows.to_frame().to_dict("list") == {"name": ["a", "b"], "value": [1.0, 2.0]}


def test_the_frame_is_a_copy():
    wide = Wide(WIDE.copy())
    wide.to_frame().loc[0, "x0"] = 99.0
    assert wide.to_frame().loc[0, "x0"] == 1.0


def test_by_layer_keeps_layer_and_series_apart():
    frame = Wide(WIDE).by_layer()
    assert frame[["layer", "language"]].values.tolist() == [[0, "en"], [0, "zh"], [1, "en"]]
    with pytest.raises(EmotionInterpError, match="a Rows has no layers"):
        Rows((Row("a", 1.0),)).by_layer()


def test_what_a_result_cannot_do_is_said_in_one_line():
    with pytest.raises(EmotionInterpError, match="a bank keeps no Wide; keep its rows yourself"):
        Wide(WIDE).add_to(None)
    with pytest.raises(EmotionInterpError, match="a Wide has no picture"):
        Wide(WIDE).plot()


def test_a_bank_adds_a_result_in_one_spelling(tiny_bank, tiny_subject):
    lens = ei.token_lens(tiny_subject, tiny_bank)
    for bank in (tiny_bank.add(lens), lens.add_to(tiny_bank), tiny_bank.with_table("tokens", lens.to_frame())):
        assert bank.extras["tokens"].equals(lens.to_frame())
    with pytest.raises(EmotionInterpError, match="a bank adds what an analysis gave back, got a DataFrame"):
        tiny_bank.add(lens.to_frame())


def test_a_bank_shows_a_dozen_columns_and_groups_by_name(tiny_bank):
    everything = tiny_bank.table()
    assert len(tiny_bank.view().columns) <= SHOWN and tiny_bank.view("joy")["emotion"].unique().tolist() == ["joy"]
    assert everything.equals(tiny_bank.table(columns="all"))
    confirmed = tiny_bank.table(columns="confirmation")
    assert len(confirmed) == len(everything) and {"feature", "auroc_heldout", "confirmed"} <= set(confirmed)
    assert confirmed["auroc_heldout"].notna().sum() == len(tiny_bank.summary)
    assert {"auroc", "smd"} <= set(tiny_bank.table(columns="scores")) and "smd" not in tiny_bank.table(columns="text")
    assert list(tiny_bank.table(columns=["feature", "auroc"])) == ["feature", "auroc"]
    with pytest.raises(UnknownNameError, match="unknown group of columns 'score'. Did you mean 'scores'"):
        tiny_bank.table(columns="score")


def test_sites_directions_subjects_and_spaces_show_themselves(tiny_bank, tiny_subject):
    space = ei.emotion_space(tiny_bank, 0, kind="dense")
    for thing in (ei.Site(0), tiny_bank.direction("joy", 0, method="dense"), tiny_subject, space):
        assert thing._repr_html_().startswith("<")
    assert space._repr_html_().count("<tr") == len(space.emotions) + 2 or "joy" in space._repr_html_()


def test_every_result_of_a_bank_can_be_drawn(tiny_bank, tiny_subject, small_concepts):
    space = ei.emotion_space(tiny_bank, 0, kind="dense")
    emotions = ["joy", "fear", "anger", "sadness", "love", "calm"]
    vectors = np.random.default_rng(0).normal(size=(len(emotions), 8))
    wide = ei.EmotionSpace(vectors, emotions)
    drawn = [
        space,
        ei.align(wide, ei.load_norms("builtin"), n_permutations=9, n_bootstrap=0),
        ei.universality(tiny_bank, "en", "zh", n_permutations=20),
        ei.feature_controls(tiny_subject, small_concepts, tiny_bank),
        ei.compare_spaces({"one": wide, "two": wide}, n_permutations=9),
        ei.top_examples(tiny_subject, tiny_bank, k=2),
    ]
    for result in drawn:
        assert result.plot().data
        assert len(result.view().columns) <= SHOWN
        assert result.settings["function"] or result is space
