"""What the command line writes and prints, above all the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table

SENTENCE = "She opened the letter and wept."
PROMPT = "When the train arrived, she was"
VOLATILE = ("seconds", "files", "key", "core", "made", "own_sha256", "versions", "python", "format_version")
"""Of JSON files: times, digests of files and what they are hashes of, and the machine."""


def _shell(*asked: str) -> str:
    """Standard output of one command."""
    env = os.environ | {"PYTHONPATH": str(Path(ei.__file__).parents[1])}
    command = [sys.executable, "-m", "emotion_interp", *asked]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def _steady(value: Any) -> Any:
    """JSON without what no seed fixes."""
    if isinstance(value, dict):
        return {k: _steady(v) for k, v in value.items() if k not in VOLATILE}
    return [_steady(v) for v in value] if isinstance(value, list) else value


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@table
def demo() -> Parts:
    """All that `make demo` writes, with its own settings."""
    out = Path(_folder().name) / "bundled"
    printed = _shell("run", "--out", str(out), "--json", "--quiet")
    yield "printed", lambda: _steady(json.loads(printed))
    yield from _written(out)


@table
def study() -> Parts:
    """A small study with choices that the demo does not make."""
    out = Path(_folder().name) / "study"
    done = ei.run_study(
        shared.subject(),
        shared.few(),
        out,
        stimuli="scenes",
        layers=(1, 2),
        n_permutations=99,
        steering_emotions=("joy", "sadness"),
        doses=(0.2, 0.4),
        methods=("dense",),
        n_random=9,
        new_tokens=4,
        judge="classifier",
        max_rated_words=150,
        seed=1,
    )
    yield "to_frame", done.to_frame
    yield from _written(out)


def _written(out: Path) -> Parts:
    """Every table of a study's folder."""
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out)).replace("/", ".")
        if path.suffix == ".parquet":
            yield name.removesuffix(".parquet"), lambda path=path: pd.read_parquet(path)
        elif path.suffix == ".csv":
            yield name.removesuffix(".csv"), lambda path=path: pd.read_csv(path)
        elif path.suffix == ".json":
            yield name.removesuffix(".json"), lambda path=path: _steady(json.loads(path.read_text(encoding="utf-8")))
    yield "directions", lambda: shared.directions(ei.FeatureBank.load(out / "bank"))


@table
def shell_json() -> Parts:
    """What cheap commands print for machines."""
    commands = {
        "features": ("features", "joy", "--layer", "2"),
        "features_summary": ("features",),
        "align": ("align", "--permutations", "99"),
        "ratings": ("ratings", "--words", "150"),
        "trace": ("trace", SENTENCE, "--layer", "1"),
        "steer": ("steer", "--emotion", "joy", "--layer", "2", "--method", "dense", "--tokens", "8", PROMPT),
        "norms_show": ("norms", "show", "builtin", "joy", "fear"),
    }
    for name, asked in commands.items():
        quiet = () if name.startswith("norms") else ("--quiet",)
        yield name, lambda asked=asked, quiet=quiet: _steady(json.loads(_shell(*asked, "--json", *quiet)))


@table
def shell_grid() -> Parts:
    """The grid of `steer`, on the prompts that ship."""
    path = Path(_folder().name) / "grid.csv"
    asked = ["steer", "--grid", str(path), "--emotion", "joy,fear", "--layer", "2", "--method", "dense", "--quiet"]
    _shell(*asked, "--doses", "0.2,0.4", "--random", "19", "--kinds", "isotropic,decoder", "--tokens", "6")
    yield "table", lambda: pd.read_csv(path)


@table
def shell_bank() -> Parts:
    """Commands on a bank's folder."""
    folder = str(shared.shipped_folders()[0])
    for name in ("features", "selected", "summary", "words"):
        path = Path(_folder().name) / f"{name}.csv"

        def written(name: str = name, path: Path = path) -> pd.DataFrame:
            _shell("features", "csv", folder, "--table", name, "--out", str(path))
            return pd.read_csv(path)

        yield name, written
    yield "card", lambda: _shell("features", "card", folder)
    yield "diff", lambda: _shell("features", "diff", folder, folder, "--json")
