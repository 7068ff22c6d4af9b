"""A deleted working directory is one clear line, in the shell and in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import emotion_interp as ei

ROOT = str(Path(ei.__file__).parents[1])
CALLS = {
    "trace": ["-m", "emotion_interp", "trace", "She wept."],
    "doctor": ["-m", "emotion_interp", "doctor"],
    "load_subject": ["-c", "import emotion_interp as ei; ei.load_subject()"],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_deleted_working_directory_is_one_clear_line(tmp_path, call):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        "import os, sys\n"
        f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        f"os.execv(sys.executable, [sys.executable, *{call!r}])\n"
    )
    env = os.environ | {"PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    line = done.stderr.strip().splitlines()[-1]
    assert "the working directory has been deleted; change to a folder that exists" in line
    assert "FATAL" not in done.stderr + done.stdout
    assert done.returncode == (2 if "-m" in call else 1)
    if "-m" in call:
        assert len(done.stderr.strip().splitlines()) == 1
