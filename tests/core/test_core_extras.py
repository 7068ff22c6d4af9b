"""A library of an extra that is missing is named in one line, with what installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import emotion_interp as ei

ROOT = Path(ei.__file__).parents[1]
BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
import emotion_interp as ei
try:
    {code}
    print("no error")
except ei.EmotionInterpError as error:
    print(error)
"""
CALLS = [
    (
        "zhconv",
        "zh",
        "ei.load_norms().lookup(['joy']); from emotion_interp.norms.matching import _simplified; _simplified(['愛'])",
    ),
    ("jieba", "zh", "from emotion_interp.features.matched import log_frequency; log_frequency('高兴得很', 'zh')"),
    ("cebra", "cebra", "from emotion_interp.geometry.cebra_space import _cebra; _cebra()"),
]


@pytest.mark.parametrize(("module", "extra", "code"), CALLS, ids=[c[0] for c in CALLS])
def test_a_missing_extra_is_named_in_one_line(module, extra, code):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(blocked={module}, code=code)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    (line,) = done.stdout.splitlines()
    assert f"pip install 'emotion-interp[{extra}]'" in line and module in line.lower()


def test_the_base_install_does_without_the_extras_and_dev_has_them_all():
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("an installed package brings no pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {"zh", "cebra", "notebooks"} <= set(extras)
    assert not set(extras["zh"] + extras["cebra"] + extras["notebooks"]) & set(project["dependencies"])
    assert set(extras["zh"] + extras["cebra"] + extras["notebooks"]) <= set(extras["dev"])
