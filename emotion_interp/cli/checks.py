"""What the shell's options may be, checked before anything heavy is imported or loaded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import typer

from emotion_interp.cli.bank_facts import bank_facts
from emotion_interp.cli.values import numbers, one_of, some_of, split_names
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError


def finite(param: typer.CallbackParam, value: float | None) -> float | None:
    """A callback for a number that is neither NaN nor infinite."""
    if value is not None and not math.isfinite(value):
        raise NotFiniteError(f"--{param.name} is a finite number, got {value!r}.")
    return value


def model_name(value: str | None) -> str | None:
    """A callback for --model: the bundled one, a folder with config.json, or a hub name that can be one."""
    from emotion_interp.subjects.loading import BUNDLED
    from emotion_interp.subjects.lookup import checked_model_name

    if value in (None, BUNDLED):
        return value
    if Path(checked_model_name(value)).is_dir() and not (Path(value) / "config.json").is_file():
        raise FileFormatError(f"{value} holds no config.json; a model folder in Hugging Face layout is needed.")
    return value


def planned_name(value: str | None) -> str | None:
    """A callback for --model where nothing is loaded: as `model_name`, and models known by a short name or a GGUF file."""
    from emotion_interp.subjects.lookup import checked_model_name

    return value if value is None else checked_model_name(value)


def saes_name(value: str | None) -> str | None:
    """A callback for --saes: a folder, a release that SAELens knows, or user/repo ("train" only where the command trains)."""
    from emotion_interp.subjects.sae_sources import checked_saes

    return value if value in (None, "train") else checked_saes(value)


def device_name(value: str) -> str:
    """A callback for --device: a name that torch may know; whether the machine has it is asked when it is used."""
    if not re.fullmatch(r"auto|cpu|(?:cuda|mps|xpu)(?::\d+)?", value):
        raise UnknownNameError("device", value, ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu"))
    return value


def layer_numbers(param: typer.CallbackParam, value: str | None) -> str | None:
    """A callback for --layers and what else names layers."""
    option = max(param.opts, key=len)
    if any(number < 0 for number in numbers(value, option) or ()):
        raise EmotionInterpError(f"{option} are whole numbers with commas, counted from 0; got {value!r}.")
    return value


def languages_known(value: str) -> str | None:
    """A callback for --languages of concept sets."""
    from emotion_interp.concepts.defaults import SIZES, shipped_languages

    names = shipped_languages()
    return some_of("concept set language", lambda: [*names, *(f"{n}:{s}" for s in SIZES[1:] for n in names)])(value)


def corpora_languages(value: str | None) -> str | None:
    """A callback for --balanced."""
    from emotion_interp.concepts.defaults import shipped_languages

    return some_of("language", shipped_languages)(value)


def norms_known(value: str) -> str:
    """A callback for --norms: a registered name, or a CSV file that exists."""
    from emotion_interp.core.plugins import plugins
    from emotion_interp.norms.registry import REGISTRY

    if Path(value).suffix == ".csv":
        if not Path(value).is_file():
            raise FileFormatError(f"the norms file {value} does not exist.")
    elif value not in REGISTRY and value not in plugins("norms"):
        raise UnknownNameError("norms", value, [*REGISTRY, *plugins("norms"), "a path ending in .csv"])
    return value


def bank_known(value: Path | None) -> Path | None:
    """A callback for --bank and BANK: a folder with a manifest."""
    if value is not None:
        bank_facts(value)
    return value


def stimuli_known(value: str | None) -> str | None:
    """A callback for --stimuli and --on: kinds of stimuli, corpora with splits, or files that exist."""
    from emotion_interp.concepts.corpora import CORPORA
    from emotion_interp.features.design import KINDS

    for part in split_names(value) if value is not None else ():
        name = part.partition("=")[2].strip() if "=" in part and not Path(part).exists() else part
        place = name.partition(":")[0] if name.partition(":")[0] in CORPORA else name
        if place.endswith((".csv", ".tsv")):
            if not Path(place).is_file():
                raise FileFormatError(f"the file {place} does not exist; it needs columns text and emotion.")
        elif place not in (*KINDS, *CORPORA):
            raise UnknownNameError("kind of stimuli", place, (*KINDS, *CORPORA, "a path ending in .csv"))
    return value


def names_known(value: str) -> str:
    """A callback for --names."""
    from emotion_interp.concepts.naming import check_names

    check_names(value)
    return value


def norms_registered(value: str) -> str | None:
    """A callback for the name of norms to fetch."""
    from emotion_interp.norms.registry import REGISTRY

    return one_of("norms", lambda: REGISTRY)(value)


def doses(value: str | None) -> str | None:
    """A callback for --doses."""
    from emotion_interp.cli.steering_grid import doses_of

    for dose in () if value is None else doses_of(value):
        if not math.isfinite(dose):
            raise NotFiniteError(f"--doses are finite numbers, got {value!r}.")
    return value


def topics(value: str) -> str:
    """A callback for --topics."""
    first, last = numbers(value, "--topics", count=2) or (0, 0)
    if not 0 <= first <= last:
        raise EmotionInterpError(f"--topics are the first and the last one, such as 72,79; got {value!r}.")
    return value


def new_file(value: Path | None) -> Path | None:
    """A callback for a file that is written."""
    return _place(value, folder=False)


def new_table(value: Path | None) -> Path | None:
    """A callback for --grid."""
    from emotion_interp.cli.steering_grid import JUDGES, check_grid

    if value is not None:
        check_grid(value, JUDGES[0])
    return value


def new_folder(value: Path | None) -> Path | None:
    """A callback for a folder that is written."""
    return _place(value, folder=True)


def _place(value: Path | None, folder: bool) -> Path | None:
    from emotion_interp.core.files import require_place

    if value is not None:
        require_place(value, folder=folder)
    return value


def new_bank(value: Path | None) -> Path | None:
    """A callback for a folder that a bank is saved to."""
    from emotion_interp.bank.files import require_bank_place

    if value is not None:
        require_bank_place(value)
    return value


def bank_place(value: str) -> str:
    """A callback for a folder or repository that a bank is pushed to or pulled from."""
    from emotion_interp.bank.sharing import checked_place

    checked_place(value)
    return value


def old_file(value: Path | None) -> Path | None:
    """A callback for a file that is read."""
    if value is not None and not value.is_file():
        raise FileFormatError(f"the file {value} does not exist.")
    return value


def old_folder(value: Path | None) -> Path | None:
    """A callback for a folder that is read."""
    if value is not None and not value.is_dir():
        raise FileFormatError(f"the folder {value} does not exist.")
    return value


def bank_tables() -> Iterable[str]:
    """The tables that `features csv` writes."""
    from emotion_interp.bank.tools import TABLES

    return TABLES


def study_stages() -> Iterable[str]:
    """The stages of `run`."""
    from emotion_interp.study.settings import STAGES

    return STAGES


def study_stimuli() -> Iterable[str]:
    """The stimuli of `run`."""
    from emotion_interp.study.settings import STIMULI

    return STIMULI


def study_judges() -> Iterable[str]:
    """The judges of `run`."""
    from emotion_interp.study.settings import JUDGES

    return JUDGES


def study_methods() -> Iterable[str]:
    """The kinds of direction of `run`: those of every search, and those that a shipped bank may have beside them."""
    from emotion_interp.study.settings import FOUND_METHODS

    return (*FOUND_METHODS, *added_methods())


def added_methods() -> Iterable[str]:
    """The kinds of direction that `features directions` adds."""
    from emotion_interp.study.settings import ADDED_METHODS

    return ADDED_METHODS


def presets() -> Iterable[str]:
    """The presets of `run`."""
    from emotion_interp.study.presets import PRESETS

    return PRESETS


def steering_positions() -> Iterable[str]:
    """The positions of `steer` that have a name."""
    from emotion_interp.subjects.turns import POSITIONS, TURN_POSITIONS

    return (*POSITIONS, *TURN_POSITIONS)


def cards_given(value: list[str] | None) -> list[str] | None:
    """A callback for --card."""
    cards_of(value)
    return value


def cards_of(given: list[str] | None) -> dict[str, tuple[float, ...]] | None:
    """'NAME=80,989,67,3350' -> a card's figures, as `PlanOptions.cards` takes them."""
    cards: dict[str, tuple[float, ...]] = {}
    for text in given or ():
        name, _, figures = text.partition("=")
        try:
            numbers_of = tuple(float(part) for part in figures.split(","))
        except ValueError:
            numbers_of = ()
        if not name.strip() or len(numbers_of) != 4 or not all(0 < n < math.inf for n in numbers_of):
            raise EmotionInterpError(
                f"--card is NAME=GB,TFLOPS16,TFLOPS32,GB_PER_S, four figures above zero, such as B200=180,2250,75,8000; got {text!r}."
            )
        cards[name.strip()] = numbers_of
    return cards or None
