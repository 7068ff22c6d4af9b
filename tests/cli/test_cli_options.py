"""Every option of every command is refused by its value before anything heavy is imported; new ones cannot be forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest
import typer

from emotion_interp.cli import app
from emotion_interp.cli.progress import json_records, show_frame

WRONG = {
    "model": "../no/such",
    "saes": "gpt2-smal-res-jb",
    "sae_width": "wide",
    "sae_l0": "tiny",
    "layers": "99",
    "steered_layers": "99",
    "device": "gpu",
    "dtype": "float7",
    "layer": "99",
    "languages": "xx",
    "language": "xx",
    "norms": "warrinner",
    "name": "warrinner",
    "bank": "no/such/bank",
    "first": "no/such/bank",
    "second": "no/such/bank",
    "stimuli": "dreams",
    "on": "dreams",
    "emotion": "joyy",
    "emotions": "joyy",
    "method": "magic",
    "methods": "magic",
    "judge": "nobody",
    "kinds": "typo",
    "names": "typo",
    "stages": "typo",
    "coordinates": "typo",
    "preset": "typo",
    "table": "typo",
    "repo_type": "typo",
    "topics": "9,2",
    "balanced": "xx",
    "doses": "0.1,nan",
    "dose": "inf",
    "corpus": "no/such.jsonl",
    "sae_text": "no/such.txt",
    "data": "no/such",
    "grid": "table.doc",
    "out": "/dev/null/below",
    "destination": "a b",
    "source": "a b",
    "study": "no/such",
    "folder": "no/such",
    "engine": "typo",
    "file": "no/such.npz",
    "format": "typo",
    "to": "typo",
    "counted": "typo",
    "rows": "x",
    "valence": "inf",
    "arousal": "nan",
    "messages": "no/such.json",
    "positions": "typo",
    "card": "B200=180",
    "efficiency": "inf",
}
"""A wrong value by the name of an option or argument."""
FREE = {"text", "prompts", "words", "revision", "sae_ids"}
"""Any text is right; an empty one is refused by the command."""
NEEDED = {"text": "She wept.", "prompts": "She said", "destination": "./there", "source": "./there", "name": "builtin"}
NEEDED |= {
    "file": "{bundled}/manifest.json",
    "bank": "{bundled}",
    "first": "{bundled}",
    "second": "{bundled}",
    "out": "out",
}


def commands() -> dict[str, Any]:
    """Every command with its whole name."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}".strip())
        if not getattr(command, "commands", None):
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


def wrong_calls() -> list[tuple[str, str, list[str]]]:
    """(command, parameter, command line with one wrong value)."""
    from emotion_interp.bank.shipped import shipped_folder

    bundled = str(shipped_folder("bundled"))
    calls = []
    for name, command in commands().items():
        for wrong in command.params:
            if wrong.name in FREE or getattr(wrong, "is_flag", False) or wrong.name == "help":
                continue
            # a number has a least value; where it is kept depends on typer's version
            least = [getattr(one, "min", None) for one in (wrong, getattr(wrong, "type", None))]
            number = any(bound is not None for bound in least)
            value = "-1" if number and wrong.name not in WRONG else WRONG.get(str(wrong.name))
            if (name, wrong.name) == ("train-subject", "layers"):
                value = "0"
            assert value is not None, f"say in WRONG or FREE what is a wrong {wrong.name} of {name!r}"
            line = name.split()
            for param in command.params:
                given = value if param is wrong else NEEDED.get(str(param.name), "").format(bundled=bundled)
                needed = param.required or (param.name == "prompts" and wrong.name != "grid") or param.name == "text"
                if param is wrong or needed:
                    option = [] if param.param_type_name == "argument" else [max(param.opts, key=len)]
                    line += [*option, given]
            calls.append((name, str(wrong.name), line))
    return calls


CODE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from emotion_interp.cli import main
for line in json.load(sys.stdin):
    sys.argv, out, err = ["emotion-interp", *line], io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    heavy = [m for m in ("torch", "transformers", "sae_lens", "sklearn") if m in sys.modules]
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """All wrong calls in one fresh interpreter, which loads nothing heavy for any of them."""
    import os
    from pathlib import Path

    import emotion_interp as ei

    calls = wrong_calls()
    env = os.environ | {"PYTHONPATH": str(Path(ei.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([line for _, _, line in calls]),
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path_factory.mktemp("empty"),
        check=True,
    )
    return {(n, p): json.loads(row) for (n, p, _), row in zip(calls, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize(("name", "parameter"), [(n, p) for n, p, _ in wrong_calls()])
def test_a_wrong_value_costs_no_import_and_is_named_in_one_line(answers, name, parameter):
    code, out, err, heavy = answers[name, parameter]
    assert code == 2 and out == "", (code, out, err)
    if "Usage:" not in err:
        assert err.startswith("error: ") and len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    assert heavy == []


def test_the_names_are_suggested_where_they_are_close(answers):
    assert "Did you mean 'joy'" in answers["steer", "emotion"][2]
    assert "Did you mean 'warriner'" in answers["align", "norms"][2]
    assert "Did you mean 'gpt2-small-res-jb'" in answers["align", "saes"][2]


def test_json_keeps_every_digit_and_has_null_for_what_is_no_number():
    frame = pd.DataFrame({"q": [1e-11, 0.1 + 0.2], "r": [float("nan"), float("inf")], "n": [1, 2], "a": ["x", None]})
    records = json.loads(json_records(frame), parse_constant=lambda c: pytest.fail(c))
    assert [row["q"] for row in records] == [1e-11, 0.1 + 0.2]
    assert [row["r"] for row in records] == [None, None]
    assert records[1]["a"] is None and records[0]["n"] == 1


def test_a_table_never_shows_a_p_of_zero(capsys):
    show_frame(pd.DataFrame({"p": [1e-11, 0.0, 0.04], "r": [0.0, 0.5, 1.0]}), "x", False)
    shown = capsys.readouterr().out
    assert "1.0e-11" in shown and "<1e-300" in shown and "0.040" in shown


def test_a_card_of_your_own_is_planned_with_and_a_wrong_one_refused(shell, refused):
    records = shell("plan", "--card", "B200=180,2250,75,8000", "--texts", "1000000", "--json").records
    hours = {row["card"]: row["hours"] for row in records if row["what"] == "hours" and row["dtype"] == "bfloat16"}
    assert hours["B200"] < hours["H200"]
    assert "nominal peak (data sheets, not measured" in " ".join(shell("plan").out.split())
    assert "four figures above zero" in refused("plan", "--card", "B200")
    assert "four figures above zero" in refused("plan", "--card", "B200=180,2250,75,0")
    assert "share of the peak" in refused("plan", "--efficiency", "2")
