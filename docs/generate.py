"""Pages that are made when the site is built: one for each room's public names, the notebooks, the pages of the root.

Run by mkdocs (`make docs`); nothing of it is kept in the repository.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import mkdocs_gen_files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
ROOMS = {
    "subjects": "Models and their SAEs",
    "concepts": "Concept sets and stimuli",
    "norms": "Human norms",
    "features": "Finding features",
    "bank": "Feature banks",
    "geometry": "Geometry",
    "ratings": "Word ratings",
    "directions": "Directions",
    "steering": "Steering",
    "judges": "Judges",
    "experiments": "Experiments",
    "report": "Views",
    "study": "Studies and sweeps",
    "training": "Training SAEs",
    "activations": "Reading activations",
    "core": "Shared words",
}


def public_names() -> dict[str, list[str]]:
    """Room -> the names that `ei` has from it, with the modules below the room, as the stub declares them."""
    stub = (ROOT / "emotion_interp" / "__init__.pyi").read_text(encoding="utf-8")
    rooms: dict[str, list[str]] = {}
    for room, below, name in re.findall(r"^from \.(\w+)([\w.]*) import \w+ as (\w+)", stub, re.MULTILINE):
        rooms.setdefault(room, []).append(f"{below}.{name}".removeprefix("."))
    return rooms


def address(room: str, name: str) -> str:
    """Where the docs tool finds a name; a function that its file is named after hides behind the file."""
    within = f".{name}" if (ROOT / "emotion_interp" / room / f"{name}.py").is_file() else ""
    return f"emotion_interp.{room}{within}.{name}"


def api() -> list[str]:
    rooms = public_names()
    lines = ["# API", "", "Every public name; each is `emotion_interp.NAME`, most often `ei.NAME`.", ""]
    entries = []
    for room in [*ROOMS, *(r for r in rooms if r not in ROOMS)]:
        if not (names := rooms.get(room)):
            continue
        title = ROOMS.get(room, room.capitalize())
        with mkdocs_gen_files.open(f"api/{room}.md", "w") as page:
            page.write(f"# {title}\n\n")
            page.write("".join(f"::: {address(room, name)}\n\n" for name in names))
        lines.append(f"- [{title}]({room}.md): " + ", ".join(f"[`{n}`][{address(room, n)}]" for n in names))
        entries.append(f"    * [{title}](api/{room}.md)")
    with mkdocs_gen_files.open("api/index.md", "w") as page:
        page.write("\n".join(lines) + "\n")
    return ["* [API](api/index.md)", *entries]


def tutorials() -> list[str]:
    """The notebooks with their outputs; pictures become files beside the page, scripts are left out."""
    entries = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        body, resources = MarkdownExporter(exclude_input_prompt=True).from_filename(str(path))
        for name, data in resources["outputs"].items():
            with mkdocs_gen_files.open(f"tutorials/{path.stem}/{name}", "wb") as file:
                file.write(data)
            # a picture says its own name
            titled = re.search(rb"<title>(.*?)</title>", data)
            title = re.sub(r"[\[\]\\]", " ", html.unescape(titled[1].decode())) if titled else "Figure"
            kind = name.rpartition(".")[2]
            body = body.replace(f"![{kind}]({name})", f"![{title}]({path.stem}/{name})")
        body = re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", body)
        body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
        heading = re.search(r"^# (.+)$", body, re.MULTILINE)
        with mkdocs_gen_files.open(f"tutorials/{path.stem}.md", "w") as page:
            page.write(body)
        entries.append(f"    * [{heading[1] if heading else path.stem}](tutorials/{path.stem}.md)")
    return ["* Tutorials", *entries]


def pages(folder: str, title: str) -> list[str]:
    """Hand-written pages of a folder, by their titles."""
    index = ROOT / "docs" / folder / "index.md"
    paths = [path for path in sorted((ROOT / "docs" / folder).glob("*.md")) if path != index]
    headings = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in paths]
    entries = [f"    * [{name}]({folder}/{path.name})" for path, name in zip(paths, headings, strict=True)]
    return [f"* [{title}]({folder}/index.md)" if index.is_file() else f"* {title}", *entries]


def results() -> list[str]:
    """The kept tables, in the order, the parts and by the names of their index."""
    text = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8")
    entries = ["    * [Summary](results/summary.md)"]
    for line in text.splitlines():
        if line.startswith("## "):
            entries.append(f"    * {line[3:]}")
        elif link := re.match(r"- \[(.+?)\]\((\S+)\)", line):
            entries.append(f"        * [{link[1]}](results/{link[2]})")
    return ["* [Results](results/index.md)", *entries]


def changelog() -> list[str]:
    with mkdocs_gen_files.open("changelog.md", "w") as page:
        page.write((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    return ["* [Changelog](changelog.md)"]


nav = [
    "* [Home](index.md)",
    *tutorials(),
    *pages("how-to", "How to"),
    "    * [Sweeps](sweeps/README.md)",
    *results(),
]
nav += ["* [Gotchas](gotchas.md)", "* [Glossary](glossary.md)", "* [Architecture](architecture.md)"]
nav += [*pages("contributing", "Contributing"), *api(), *changelog()]
with mkdocs_gen_files.open("nav.md", "w") as page:
    page.write("\n".join(nav) + "\n")
