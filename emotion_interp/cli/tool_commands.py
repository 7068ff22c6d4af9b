"""norms, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app

norms_app = typer.Typer(
    help="Human norms: what is known, where it is, how to get it.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(norms_app, name="norms")


@norms_app.command("list")
def norms_list(as_json: Annotated[bool, typer.Option("--json", help="JSON records.")] = False) -> None:
    """Known norms with language, size, licence and whether they are here.

    Example: emotion-interp norms list
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.norms import norms_table

    table = norms_table()
    columns = ["name", "language", "dimensions", "n_words", "licence", "found_in"]
    show_frame(table if as_json else table[columns], "Norms", as_json)


@norms_app.command("fetch")
def norms_fetch(
    name: Annotated[str, typer.Argument(callback=checks.norms_registered, help="Name from `norms list`.")],
) -> None:
    """Download norms into the cache, checked by SHA-256.

    Example: emotion-interp norms fetch warriner
    """
    from emotion_interp.norms import fetch_norms

    for path in fetch_norms(name):
        say(str(path))


@norms_app.command("show")
def norms_show(
    name: Annotated[str, typer.Argument(callback=checks.norms_known, help="Name from `norms list`, or a CSV file.")],
    words: Annotated[list[str] | None, typer.Argument(help="Words to look up; default: the first rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON records.")] = False,
) -> None:
    """Ratings of words.

    Example: emotion-interp norms show builtin joy fear
    """
    from emotion_interp.cli.options import norms_of
    from emotion_interp.cli.progress import show_frame

    norms = norms_of(name)
    show_frame(norms.lookup(words) if words else norms.table.head(20), f"{norms.name}: {norms.citation}", as_json)


def _near(path: Path) -> str:
    """A path as it is typed here: below this folder, without this folder's name."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@app.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="JSON records.")] = False) -> None:
    """Models that load by a short name, also offline, and models with the SAE releases of SAELens that can be read.

    Example: emotion-interp models
    """
    import pandas as pd

    from emotion_interp.bank.shipped import shipped_folder
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.subjects.named import named_models
    from emotion_interp.subjects.sae_releases import release_names, release_of
    from emotion_interp.subjects.sae_sizes import folder_sizes

    rows: list[dict[str, str | int]] = [
        {
            "model": "bundled",
            "release": "(ships with the package)",
            "saes": 4,
            "reads": "resid_post",
            "widths": "1k",
            "weights": "here",
        }
    ]
    for model in named_models().to_dict("records"):
        weights = model["weights"] if model["weights"] != "missing" else model["install"]
        folder = shipped_folder(model["name"])
        shipped = folder / "saes" if folder is not None and (folder / "saes").is_dir() else None
        sizes = [] if shipped is None else folder_sizes(shipped)
        rows.append(
            {
                "model": model["name"],
                "release": "(no SAEs)" if shipped is None else _near(shipped),
                "saes": len(sizes),
                "reads": ", ".join(sorted({size.kind for size in sizes})),
                "widths": ", ".join(f"{n // 1024}k" for n in sorted({size.d_sae for size in sizes})),
                "weights": weights,
            }
        )
    for release in map(release_of, release_names()):
        sites = {entry.site for entry in release.entries if entry.site is not None}
        if not release.refusal:
            rows.append(
                {
                    "model": release.model,
                    "release": release.name,
                    "saes": sum(entry.site is not None for entry in release.entries),
                    "reads": ", ".join(sorted({site.kind for site in sites})),
                    "widths": ", ".join(dict.fromkeys(entry.width for entry in release.entries if entry.width)),
                    "weights": "hub",
                }
            )
    show_frame(pd.DataFrame(rows), "Subjects with SAEs", as_json)
