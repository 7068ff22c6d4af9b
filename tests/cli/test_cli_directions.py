"""directions export, import and check on the bundled subject."""

from __future__ import annotations

import json

import numpy as np
from typer.testing import CliRunner

from emotion_interp.cli import app
from emotion_interp.core.files import read_signed_json, sha256_file, write_signed_json


def run(*arguments):
    return CliRunner().invoke(app, ["directions", *map(str, arguments)], catch_exceptions=False)


def test_a_direction_is_written_checked_and_converted(tmp_path):
    file, other = tmp_path / "joy.npz", tmp_path / "joy.pt"
    done = run("export", file, "--emotion", "joy", "--layers", "1,2", "--dose", "0.4", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["block"] for row in rows] == [1, 2]
    about = json.loads((tmp_path / "joy.npz.about.json").read_text())
    assert about["coefficient"] == 0.4
    with np.load(file) as arrays:
        for row in rows:
            assert np.isclose(np.linalg.norm(arrays[row["entry"]]), row["scale"])
    done = run("check", file, "--json")
    assert done.exit_code == 0, done.output
    assert all(row["passed"] for row in json.loads(done.stdout))
    done = run("import", file, "--out", other, "--to", "steering-vectors", "--json")
    assert done.exit_code == 0, done.output
    assert [row["site"] for row in json.loads(done.stdout)] == ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"]
    import torch

    content = torch.load(other, weights_only=True)
    assert list(content["layer_activations"]) == [1, 2]


def test_the_dial_is_written_and_what_differs_ends_with_1(tmp_path):
    file = tmp_path / "calm.npz"
    done = run("export", file, "--valence", "1", "--arousal", "-1", "--layers", "2", "--quiet")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "calm.npz.about.json").read_text())["name"] == "valence +1, arousal -1"
    # the same test of a vector that points elsewhere
    beside = tmp_path / "calm.npz.parity.json"
    (tmp_path / "calm.npz.about.json").unlink()
    with np.load(file) as arrays:
        np.savez(file, **{name: -vector for name, vector in arrays.items()})
    test, _ = read_signed_json(beside)
    write_signed_json(beside, test | {"sha256": sha256_file(file)})
    done = run("check", file)
    assert done.exit_code == 1
    assert "what is added differs" in done.stderr
