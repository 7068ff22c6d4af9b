"""The shell in this process, on a tiny model and SAEs in folders."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import make_gpt2, make_sae


@dataclass
class Answer:
    """What one command left behind."""

    code: object
    out: str
    err: str

    @property
    def records(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tokenizer):
    """Called "tiny" and with the weights of `tiny_subject`, so that `tiny_bank` belongs to it."""
    folder = tmp_path_factory.mktemp("cli") / "tiny"
    make_gpt2(tokenizer).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def sae_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_saes")
    for layer in (0, 1):
        make_sae(layer).save_model(folder / f"layer_{layer}")
    return folder


@pytest.fixture(scope="session")
def bank_folder(tmp_path_factory, tiny_bank):
    return tiny_bank.save(tmp_path_factory.mktemp("cli_bank") / "bank")


@pytest.fixture(scope="session")
def subject_options(model_folder, sae_folder):
    return ["--model", str(model_folder), "--saes", str(sae_folder), "-q"]


@pytest.fixture(scope="session")
def bank_options(subject_options, bank_folder):
    return [*subject_options, "--bank", str(bank_folder)]


@pytest.fixture
def shell(monkeypatch, capsys):
    """`shell("features", "joy")` runs the entry point of the console script."""
    from emotion_interp.cli import main

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["emotion-interp", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def refused(shell, tmp_path):
    """The command ends with exit code 2 and one line of error; nothing is left under `tmp_path`. Returns the line."""

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        answer = shell(*arguments)
        assert answer.code == 2, (answer.code, answer.out, answer.err)
        lines = answer.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), answer.err
        assert answer.out == ""
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return run


def files_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Change time and content of every file."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }
