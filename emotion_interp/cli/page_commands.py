"""serve: the live page."""

from __future__ import annotations

from typing import Annotated

import typer

from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.options import BankOption, Languages, Layers, Model, Quiet, Saes, bank_of, subject_of
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.values import numbers


@app.command()
def serve(
    model: Model = None,
    saes: Saes = None,
    layers: Layers = None,
    bank: BankOption = None,
    languages: Languages = "en",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Read texts and steer the subject in a browser on this machine (extra `app`); Ctrl-C ends it.

    Example: emotion-interp serve --open
    """
    from emotion_interp.core.extras import need

    need("starlette", "app")
    need("uvicorn", "app")
    facts_of.check_layers(model, saes, layers)
    from emotion_interp.app import serve as serve_page
    from emotion_interp.app.snippets import Origin

    subject = subject_of(model, saes, layers)
    used = bank_of(bank, subject, languages, 0, quiet)
    given = {"saes": saes, "layers": numbers(layers, "--layers")}
    named = [repr(model)] * (model is not None) + [f"{k}={v!r}" for k, v in given.items() if v is not None]
    where = "ei.shipped_bank(subject)" if bank is None else f"ei.FeatureBank.load({str(bank)!r})"
    if bank is None and not _is_shipped(used, subject):
        # found now, and the same call finds it again
        sets = " | ".join(f"ei.concept_set({name!r})" for name in used.languages)
        where = f"ei.find_features(subject, {sets})"
    origin = Origin(f"ei.load_subject({', '.join(named)})", where)
    say("the live page; Ctrl-C ends it", err=True)
    serve_page(subject, used, port, open_browser=open_browser, origin=origin, tell=say)


def _is_shipped(bank: object, subject: object) -> bool:
    from emotion_interp.bank import FeatureBank, shipped_bank

    shipped = shipped_bank(subject)
    return isinstance(bank, FeatureBank) and shipped is not None and shipped.manifest == bank.manifest
