"""What the documentation says is so: its code runs, its commands and names are there, its links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.test_house_names import check_call, check_python, resolves

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if "contributing" not in p.parts)
WRITTEN = [p for p in PAGES if "results" not in p.parts]
NEEDS = "# needs:"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


@pytest.mark.parametrize("page", [p for p in WRITTEN if blocks(p, "python")], ids=name_of)
def test_the_code_on_a_page_runs_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "page"}
    for code in blocks(page, "python"):
        program = compile(code, page.name, "exec")
        if not code.startswith(NEEDS):
            exec(program, space)


@pytest.mark.parametrize("page", [p for p in WRITTEN if blocks(p, "python")], ids=name_of)
def test_every_call_on_a_page_takes_the_arguments_that_are_written(page):
    for code in blocks(page, "python"):
        check_python(code)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_and_command_on_a_page_is_there(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\bei\.([A-Za-z_]\w*(?:\.[a-z_]\w*)?)", text):
        assert resolves(name), name
    calls = [line for block in blocks(page, "sh") for line in block.splitlines()]
    calls += re.findall(r"`(emotion-interp [^`\n]+)`", text)
    for call in calls:
        if call.startswith("emotion-interp "):
            check_call(call.partition("   #")[0].removeprefix("emotion-interp ").strip())
    for command in re.findall(r"python -m (benchmarks[.\w]*)", text):
        place = ROOT / command.replace(".", "/")
        assert place.with_suffix(".py").is_file() or place.is_dir(), command


def test_every_page_of_results_is_on_its_index():
    index = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8")
    pages = {p.name for p in (ROOT / "docs" / "results").glob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\(([\w.-]+\.md)\)", index))


def commands(text: str) -> list[tuple[str, str]]:
    """Every benchmark that a page runs: its name, and what stands behind it."""
    return [(name, " ".join(rest.split())) for name, rest in re.findall(r"`python -m benchmarks\.(\w+)([^`]*)`", text)]


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p.read_text(encoding="utf-8"))], ids=name_of)
def test_the_options_of_a_benchmark_on_a_page_are_its_own(page):
    for name, rest in commands(page.read_text(encoding="utf-8")):
        source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[a-z][\w-]*", rest) if f'"{option}"' not in source] == [], name


def test_the_command_on_a_page_of_results_names_the_model_that_its_figures_are_of():
    bare = {}
    for page in (ROOT / "docs" / "results").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if page.stem in ("index", "summary") or not re.search(r"gemma-3-270m|smollm2", page.stem + text[:1500]):
            continue
        for name, rest in commands(text[:1500])[:1]:
            source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
            # what has a choice of models, and no other way to name one
            if re.search(r'"--model"(?!, action="append")', source) and not re.search(r"--(model|bank)\b", rest):
                bare[page.name] = name
    assert not bare


def test_the_command_of_a_benchmark_is_written_without_places():
    from benchmarks.tables import command

    given = [
        "/home/me/benchmarks/one.py",
        "--model",
        "gemma",
        "--saes",
        "/data/saes",
        "--out",
        "runs/a",
        "--write=page.md",
    ]
    given += ["--layers", "5,9", "--made", "tiny=/data/tiny", "--cache", "/data/kept", "--chat", "--name", "two words"]
    told = "python -m benchmarks.one --model gemma --saes SAES --layers 5,9 --made tiny=MADE --chat --name 'two words'"
    assert command(given) == told
    assert command(given[:1]) == "python -m benchmarks.one"


def told(path: Path) -> list[str]:
    """What a page, or the docstrings of a module, say outside of code and examples."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
        parts = [re.split(r"\n *Examples?:\n", part)[0] for part in found]
    else:
        parts = [re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)]
    return [re.sub(r"`[^`]*`", "", part) for part in parts]


def test_a_name_in_angle_brackets_stands_in_code_or_a_browser_takes_it_for_a_tag():
    modules, roots = (ROOT / "emotion_interp").rglob("*.py"), [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    lost = {
        str(path.relative_to(ROOT)): tags
        for path in [*modules, *PAGES, *roots]
        if (tags := re.findall(r"\S*</?[A-Za-z][^>\n]*>", "\n".join(told(path))))
    }
    assert not lost
