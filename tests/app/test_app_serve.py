"""The command: an address with a token, the page of the bundled subject, nothing written, and one line where it cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import emotion_interp as ei
from emotion_interp.app import serve
from emotion_interp.core.errors import EmotionInterpError


def test_the_command_serves_until_it_is_interrupted_and_writes_nothing(tmp_path):
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    paths = [str(Path(ei.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "emotion_interp", "serve", "--quiet"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=env, cwd=place) as server:
        assert server.stdout is not None and server.stderr is not None
        try:
            address = server.stdout.readline().strip()
            match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{32,})/", address)
            assert match, (address, server.stderr.read() if server.poll() is not None else "")
            with urllib.request.urlopen(address, timeout=120) as answer:
                assert b"<title>" in answer.read()
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address.replace(match[2], "x" * len(match[2])), timeout=120)
        finally:
            server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=120)
    assert "Traceback" not in said
    assert list(place.iterdir()) == [] and [p for p in home.rglob("*") if p.is_file()] == []


def test_a_bank_of_another_subject_is_refused_before_anything_is_served(tiny_subject, tiny_bank):
    pytest.importorskip("starlette")
    other = ei.shipped_bank(ei.load_subject())
    with pytest.raises(EmotionInterpError, match="bundled"):
        serve(tiny_subject, other)
    with pytest.raises(EmotionInterpError, match="bank is"):
        serve(tiny_subject, "a bank")
    with pytest.raises(EmotionInterpError, match="from 1 to 65535"):
        serve(tiny_subject, tiny_bank, 99999)
