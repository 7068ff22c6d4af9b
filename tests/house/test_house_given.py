"""What a benchmark takes where its command line leaves it out."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from benchmarks.given import SHIPPED, by_language, shipped_saes


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


def test_norms_of_several_languages_come_from_one_option():
    assert by_language("en=warriner,zh=/data/a=b.csv") == {"en": "warriner", "zh": "/data/a=b.csv"}


@pytest.mark.parametrize("text", ["warriner", "en=", "=warriner", "en=warriner,", "en=warriner,en=anew", ""])
def test_norms_without_their_language_or_twice_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="en=warriner,zh=cvaw3"):
        by_language(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["words_geometry", "--bank", "nowhere"], "error: there is no feature bank at nowhere"),
        (
            ["words_geometry", "--bank", "saved_features/bundled", "--norms", "en=nothing"],
            "error: unknown norms 'nothing'",
        ),
        (["words_geometry", "--bank", "saved_features/bundled", "--norms", "nothing"], "not 'nothing'"),
    ],
)
def test_a_benchmark_that_is_given_something_wrong_says_so_without_a_trace(arguments, said, tmp_path):
    command = [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:], "--write", str(tmp_path / "page.md")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SHIPPED.parent)
    assert done.returncode and said in done.stderr and "Traceback" not in done.stderr
    assert not [*tmp_path.iterdir()]
