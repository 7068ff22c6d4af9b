"""Hub names: nonsense is refused at once, the local cache comes first, and the network is asked once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.subjects.lookup import checked_model_name, checked_release, config_of, located
from emotion_interp.subjects.sae_releases import release_names


@pytest.mark.parametrize("name", ["", "  ", "a b", "../x", "./x", "a/b/c", "x\0y", "a\\b", "-x", "a--b", "x" * 97, "é"])
def test_nonsense_is_no_name(name, tmp_path, monkeypatch):
    # "../x" may well be a folder of the machine
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(EmotionInterpError):
        checked_model_name(name)
    with pytest.raises(EmotionInterpError):
        ei.load_subject(name)


def test_a_name_that_is_nowhere_is_refused_without_loading_anything():
    code = (
        "import sys, emotion_interp as ei\n"
        "try:\n    ei.load_subject('nobody/nothing')\n"
        "except ei.EmotionInterpError as error:\n    print(error)\n"
        "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line, heavy = done.stdout.splitlines()
    assert "no model can be loaded from 'nobody/nothing'" in line and "local cache" in line
    assert heavy == "[]"


def test_a_cached_model_is_read_without_asking_the_hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"n_layer": 3}), encoding="utf-8")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert located("some/model") == {"local_files_only": True}
    assert config_of("some/model") == {"n_layer": 3}


def test_releases_are_known_without_their_library():
    pytest.importorskip("sae_lens", reason="the list of releases is a file of SAELens")
    assert "gpt2-small-res-jb" in release_names()
    with pytest.raises(UnknownNameError, match="Did you mean 'gpt2-small-res-jb'"):
        checked_release("gpt2-smal-res-jb")
    with pytest.raises(EmotionInterpError):
        checked_release("")


@pytest.mark.parametrize("options", [{"device": "gpuu"}, {"dtype": "float33"}, {"dtype": "int8"}, {"saes": "typo"}])
def test_a_wrong_device_type_or_release_is_named_before_the_model_is_read(options):
    with pytest.raises(EmotionInterpError, match=next(iter(options.values()))):
        ei.load_subject(**options)
