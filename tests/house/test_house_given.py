"""What a benchmark takes where its command line leaves it out."""

from __future__ import annotations

import pytest

from benchmarks.given import SHIPPED, shipped_saes


def test_the_saes_that_ship_are_taken_by_the_plain_name_of_their_model():
    found = shipped_saes("gemma-3-270m")
    assert found == SHIPPED / "gemma-3-270m" / "saes" and any(found.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "model", [None, "", "gpt2", "bundled", "../saved_features/gemma-3-270m", str(SHIPPED / "gemma-3-270m")]
)
def test_no_saes_ship_for_another_model_or_for_a_folder(model):
    assert shipped_saes(model) is None


def test_every_benchmark_that_reads_with_saes_takes_those_that_ship():
    # one writes into the SAEs that it is given, the other measures a sweep's own
    own = {"sae_quality", "sweep_overhead"}
    texts = {p.stem: p.read_text(encoding="utf-8") for p in (SHIPPED.parent / "benchmarks").glob("*.py")}
    asking = {name for name, text in texts.items() if '"--saes"' in text} - own
    assert {n for n in asking if "shipped_saes(" in texts[n] or "subject_and_bank(" in texts[n]} == asking
