"""The paper's set-up from one command, on stand-ins of its two subjects in their true layouts."""

from __future__ import annotations

import json

import pytest

from emotion_interp.study import preset
from tests.stand_ins import GEMMA, JH, LLAMA, SCOPE, paper_hub

SMALL = ["--norms", "builtin", "--languages", "en", "--no-cebra", "--no-learning-curve", "--permutations", "19"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with paper_hub(tmp_path_factory.mktemp("hub")) as root:
        yield root


@pytest.mark.parametrize(
    ("model", "saes", "sites"),
    [
        (GEMMA, SCOPE, ["blocks.9.hook_resid_post", "blocks.20.hook_resid_post", "blocks.31.hook_resid_post"]),
        (LLAMA, JH, ["blocks.25.hook_resid_post"]),
    ],
)
def test_the_papers_set_up_runs_from_one_command(shell, hub, tmp_path, model, saes, sites) -> None:
    out = tmp_path / "study"
    stages = "features" if saes == SCOPE else "features,alignment"
    answer = shell("run", "--preset", "paper", "--model", model, *SMALL, "--stages", stages, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert f"SAEs of the preset: {saes}" in " ".join(answer.err.split())
    assert {row["emotions"] for row in answer.records} == {26}
    manifest = json.loads(next(out.rglob("manifest.json")).read_text(encoding="utf-8"))
    assert manifest["subject"] == model and [sae["site"] for sae in manifest["saes"]] == sites
    assert manifest["provenance"]["sae_release"] == saes
    if saes == SCOPE:
        assert all("width_16k" in str(sae) or "16k" in str(sae) for sae in manifest["saes"])
    assert (out / "report.html").is_file()
    record = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert record["preset"] == "paper" and any("without their template" in note for note in record["notes"])


def test_saes_of_your_own_win_over_those_of_the_preset(hub) -> None:
    paper = preset("paper")
    assert paper.saes_of(GEMMA, None) == paper.saes_of(GEMMA, SCOPE) == paper.saes[GEMMA]
    assert paper.saes_of(GEMMA, "gemma-scope-9b-pt-res") is None and paper.saes_of("gpt2", None) is None
    assert paper.saes_of(None, None) is None
