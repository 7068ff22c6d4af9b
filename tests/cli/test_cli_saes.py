"""--width, --l0 and --sae-ids stand wherever --saes does; `models` lists the releases that load, with names that load."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from emotion_interp.cli import app
from emotion_interp.subjects.sae_releases import release_names, release_of
from tests.cli.test_cli_options import commands
from tests.conftest import make_gpt2, make_sae, make_tokenizer

CHOICE = {"sae_width", "sae_l0", "sae_ids"}


def refused(*arguments: str) -> str:
    """The error line of a command that must fail, and what it loaded."""
    program = (
        "import sys; from emotion_interp.cli import main\n"
        f"sys.argv = ['emotion-interp', *{list(arguments)!r}]\n"
        "try: main()\n"
        "finally: assert not {'torch', 'sklearn', 'sae_lens'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_every_command_with_saes_takes_a_choice_and_no_other():
    for name, command in commands().items():
        given = {parameter.name for parameter in command.params}
        assert given >= CHOICE if "saes" in given else not CHOICE & given, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--saes", "gemma-scope-9b-it-res-canonical", "--layers", "9"], "choose by width (16k, 131k)"),
        (["--saes", "gemma-scope-9b-it-res-canonical", "--width", "17k"], "width of gemma-scope-9b-it-res-canonical"),
        (
            ["--saes", "gemma-scope-9b-it-res-canonical", "--sae-ids", "layer_9"],
            "SAE of gemma-scope-9b-it-res-canonical",
        ),
        (["--saes", "llama_scope_lxr_8x", "--layers", "40"], "layer of the SAE release"),
        (["--saes", "gemma-scope-2b-pt-transcoders"], "a transcoder writes another site"),
        (["--width", "16k"], "choose among SAEs that --saes names"),
    ],
)
def test_a_choice_that_means_nothing_is_refused_before_anything_is_loaded(arguments, message):
    assert message in " ".join(refused("features", "find", "--model", "some/model", *arguments).split())


def test_models_lists_every_release_that_can_be_read_with_the_models_name_on_the_hub():
    done = CliRunner().invoke(app, ["models", "--json"])
    rows: Any = json.loads(done.stdout)
    listed = {row["release"]: row for row in rows if row["weights"] == "hub"}
    assert set(listed) == {name for name in release_names() if not release_of(name).refusal}
    assert listed["gemma-scope-9b-it-res-canonical"]["model"] == "google/gemma-2-9b-it"
    assert listed["pythia-70m-deduped-mlp-sm"]["model"] == "EleutherAI/pythia-70m-deduped"
    assert listed["gpt2-small-hook-z-kk"]["reads"] == "z"
    assert listed["gemma-scope-2b-pt-res-canonical"]["saes"] == 58


def test_the_choice_of_a_command_is_the_one_that_is_loaded(tmp_path):
    tokenizer = make_tokenizer()
    make_gpt2(tokenizer).save_pretrained(str(tmp_path / "model"))
    tokenizer.save_pretrained(str(tmp_path / "model"))
    for width in (64, 128):
        make_sae(1, d_sae=width).save_model(tmp_path / "saes" / str(width))
    options = ["--model", str(tmp_path / "model"), "--saes", str(tmp_path / "saes"), "--width", "64", "--quiet"]
    done = CliRunner().invoke(app, ["features", "find", *options, "--out", str(tmp_path / "bank"), "--json"])
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "bank" / "manifest.json").read_text())
    assert manifest["d_sae"] == {"blocks.1.hook_resid_post": 64}
    assert manifest["provenance"]["sae_ids"] == {"blocks.1.hook_resid_post": "64"}
