"""features push, pull, diff, merge, csv, card: banks as things to share and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli.analysis_commands import features_app
from emotion_interp.cli.options import Json
from emotion_interp.cli.progress import say

if TYPE_CHECKING:
    pass

Bank = Annotated[Path, typer.Argument(callback=checks.bank_known, help="Folder of a bank.")]
RepoType = Annotated[
    str,
    typer.Option(
        "--repo-type",
        callback=checks.one_of("type of repository", lambda: ("model", "dataset")),
        help="model or dataset.",
    ),
]


@features_app.command()
def push(
    bank: Bank,
    destination: Annotated[
        str, typer.Argument(callback=checks.bank_place, help="A repository (name/bank) or a folder (./somewhere).")
    ],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    repo_type: RepoType = "model",
) -> None:
    """Share a bank with its card on the Hugging Face hub or in a folder.

    Example: emotion-interp features push runs/bundled/bank me/emotions-of-my-model
    """
    from emotion_interp.bank import FeatureBank, push_bank

    say(push_bank(FeatureBank.load(bank), destination, private=not public, repo_type=repo_type))


@features_app.command()
def pull(
    source: Annotated[str, typer.Argument(callback=checks.bank_place, help="A repository (name/bank) or a folder.")],
    out: Annotated[Path, typer.Option(callback=checks.new_bank, help="Folder to save it to.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    repo_type: RepoType = "model",
) -> None:
    """Fetch a shared bank, check it, and save it.

    Example: emotion-interp features pull someone/emotions-of-a-model --out runs/theirs
    """
    from emotion_interp.bank import pull_bank
    from emotion_interp.bank.files import require_bank_place

    require_bank_place(out)
    say(repr(pull_bank(source, out, revision=revision, repo_type=repo_type)))


@features_app.command()
def diff(first: Bank, second: Bank, as_json: Json = False) -> None:
    """What differs between two banks of one subject.

    Example: emotion-interp features diff runs/seed0/bank runs/seed1/bank
    """
    from emotion_interp.bank import FeatureBank
    from emotion_interp.cli.progress import show_frame

    frame = FeatureBank.load(first).diff(FeatureBank.load(second))
    show_frame(frame, "Two banks", as_json)


@features_app.command()
def merge(
    first: Bank,
    second: Bank,
    out: Annotated[Path, typer.Option(callback=checks.new_bank, help="Folder to save the joint bank to.")],
) -> None:
    """Make one bank of two that read one subject at other layers or in other languages.

    Example: emotion-interp features merge runs/low/bank runs/high/bank --out runs/all
    """
    from emotion_interp.bank import FeatureBank
    from emotion_interp.bank.files import require_bank_place

    require_bank_place(out)
    joint = FeatureBank.load(first).merge(FeatureBank.load(second))
    joint.save(out)
    say(repr(joint))


@features_app.command("csv")
def csv_file(
    bank: Bank,
    out: Annotated[Path, typer.Option(callback=checks.new_file, help="CSV file to write.")],
    table: Annotated[
        str,
        typer.Option(
            callback=checks.one_of("table of a bank", checks.bank_tables), help="features, selected, summary or words."
        ),
    ] = "features",
) -> None:
    """Write one of a bank's tables as CSV.

    Example: emotion-interp features csv runs/bundled/bank --table selected --out selected.csv
    """
    from emotion_interp.bank import FeatureBank

    say(str(FeatureBank.load(bank).to_csv(out, table)))


@features_app.command()
def card(bank: Bank) -> None:
    """Print a bank's card: subject, stimuli, thresholds and figures, in Markdown.

    Example: emotion-interp features card runs/bundled/bank
    """
    from emotion_interp.bank import FeatureBank, bank_card

    say(bank_card(FeatureBank.load(bank)))
