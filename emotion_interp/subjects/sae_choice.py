"""Which SAEs of several: by width, by how many latents are active, or by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_interp.core.arguments import ArgumentError, check_fields
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_identity import width_name

LEVELS = ("small", "medium", "big")
"""Names for how many latents are active: in the ids of Gemma Scope 2, elsewhere fewest, middle and most."""
_SHOWN = 8
"""Ids and numbers that an error line names before it says how many more there are."""


@dataclass(frozen=True, kw_only=True)
class SaeChoice:
    """Which SAEs to take where a release or folder has several at one site.

    Args:
        width: latents, as published ("16k", "65k") or counted (16384); several with commas ("16k,65k").
        l0: latents active on a token: "small", "medium" or "big", or a number, of which the nearest is taken.
        ids: ids of the SAEs, as the release lists them; several may read one site.

    Raises:
        ArgumentError: an l0 that is no such name or no positive number.

    Example:
        >>> SaeChoice(width="16k", l0="medium")
        SaeChoice(width='16k', l0='medium', ids=())
    """

    width: str | int | None = None
    l0: str | float | None = None
    ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.l0, str):
            object.__setattr__(self, "l0", l0_of(self.l0))
        elif self.l0 is not None and not 0 < self.l0 < float("inf"):
            raise ArgumentError(f"SaeChoice: l0 is a positive number or one of {', '.join(LEVELS)}; got {self.l0!r}.")
        object.__setattr__(self, "ids", tuple(self.ids))

    def __bool__(self) -> bool:
        return bool(self.ids) or self.width is not None or self.l0 is not None

    @property
    def widths(self) -> tuple[str, ...]:
        """The widths asked for, as published ones are named."""
        if isinstance(self.width, str):
            parts = [part.strip().lower() for part in self.width.split(",") if part.strip()]
            return tuple(width_name(int(part)) if part.isdigit() else part for part in parts)
        return () if self.width is None else (width_name(int(self.width)),)


def l0_of(text: str) -> str | float:
    """An l0 from a shell: a name of `LEVELS`, or a number.

    Raises:
        ArgumentError: neither.

    Example:
        >>> l0_of("medium"), l0_of("80")
        ('medium', 80.0)
    """
    if text.lower() in LEVELS:
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentError(f"SaeChoice: l0 is a positive number or one of {', '.join(LEVELS)}; got {text!r}.")
    return number


@dataclass(frozen=True)
class SaeEntry:
    """One SAE of a release or folder, as its listing describes it; what a listing does not say is None or empty."""

    id: str
    site: Site | None
    """None where it reads no site (the embedding)."""
    width: str = ""
    l0: float | None = None
    level: str = ""
    """"small", "medium" or "big", where the id says so."""
    path: str = ""
    neuronpedia_id: str | None = None


def choose_saes(
    name: str, entries: Sequence[SaeEntry], layers: Iterable[int] | None, choice: SaeChoice, one_per_site: bool = True
) -> list[SaeEntry]:
    """The SAEs that a choice means, in the listing's order.

    Args:
        name: of the release, for errors.
        entries: what it lists.
        layers: only these; each must have an SAE.
        choice: the choice.
        one_per_site: refuse several at one site that the choice does not tell apart.

    Raises:
        UnknownNameError: an id, a width or a layer that the release does not have.
        EmotionInterpError: nothing is left, or several are and nothing tells them apart; the line lists the choices.
    """
    if choice.ids:
        return _by_ids(name, entries, layers, choice)
    left = [entry for entry in entries if entry.site is not None]
    if not left:
        raise EmotionInterpError(f"no SAE of {name} reads a site of the model; its ids: {_few(e.id for e in entries)}.")
    left = _at_layers(name, left, layers)
    if choice.widths:
        left = _of_widths(name, left, choice.widths)
        _at_layers(f"{name} of width {choice.width}", left, layers)
    if choice.l0 is not None:
        left = _of_l0(name, left, choice.l0)
        _at_layers(f"{name} with l0 {choice.l0}", left, layers)
    if one_per_site:
        _refuse_ambiguous(name, left, choice)
    return left


def _by_ids(name: str, entries: Sequence[SaeEntry], layers: Iterable[int] | None, choice: SaeChoice) -> list[SaeEntry]:
    known = {entry.id: entry for entry in entries}
    for wanted in choice.ids:
        if wanted not in known:
            raise UnknownNameError(f"SAE of {name}", wanted, known)
    chosen = [known[wanted] for wanted in dict.fromkeys(choice.ids)]
    for entry in chosen:
        if entry.site is None:
            raise EmotionInterpError(f"the SAE {entry.id!r} of {name} reads no layer of the model (the embedding).")
    clash = [e for e in chosen if choice.widths and e.width and e.width not in choice.widths]
    if clash:
        raise EmotionInterpError(
            f"the SAE {clash[0].id!r} of {name} has the width {clash[0].width}, and {choice.width} is asked for as "
            "well; give ids alone."
        )
    return _at_layers(f"the chosen SAEs of {name}", chosen, layers)


def _at_layers(name: str, entries: list[SaeEntry], layers: Iterable[int] | None) -> list[SaeEntry]:
    if layers is None:
        return entries
    found = {e.site.layer for e in entries if e.site is not None}
    for layer in sorted(set(layers)):
        if layer not in found:
            raise UnknownNameError(f"layer of the SAE release {name}", layer, sorted(found))
    wanted = set(layers)
    return [e for e in entries if e.site is not None and e.site.layer in wanted]


def _of_widths(name: str, entries: list[SaeEntry], widths: tuple[str, ...]) -> list[SaeEntry]:
    known = list(dict.fromkeys(e.width for e in entries if e.width))
    if not known:
        raise EmotionInterpError(
            f"{name} does not say the widths of its SAEs; choose by ids: {_few(e.id for e in entries)}."
        )
    for width in widths:
        if width not in known:
            raise UnknownNameError(f"width of {name}", width, known)
    return [e for e in entries if e.width in widths]


def _of_l0(name: str, entries: list[SaeEntry], l0: str | float) -> list[SaeEntry]:
    """Of each site and width the entries at the level, or nearest to the number."""
    groups: dict[tuple[object, str], list[SaeEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.site, entry.width), []).append(entry)
    chosen: set[str] = set()
    for (site, width), group in groups.items():
        levels = {e.level for e in group} - {""}
        numbers = sorted({e.l0 for e in group if e.l0 is not None})
        if isinstance(l0, str) and levels:
            if l0 not in levels:
                have = [level for level in LEVELS if level in levels]
                raise UnknownNameError(f"l0 of the {width} SAEs of {name} at {site}", l0, have)
            chosen |= {e.id for e in group if e.level == l0}
        elif not numbers:
            raise EmotionInterpError(
                f"{name} does not say how many latents of its SAEs are active; choose by ids: {_few(e.id for e in group)}."
            )
        else:
            if isinstance(l0, str):
                target = numbers[{"small": 0, "medium": (len(numbers) - 1) // 2, "big": -1}[l0]]
            else:
                target = min(numbers, key=lambda number: (abs(number - l0), number))
            chosen |= {e.id for e in group if e.l0 == target}
    return [e for e in entries if e.id in chosen]


def _refuse_ambiguous(name: str, entries: list[SaeEntry], choice: SaeChoice) -> None:
    groups: dict[Any, list[SaeEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.site, entry.width if len(choice.widths) > 1 else ""), []).append(entry)
    for (site, _), group in groups.items():
        if len(group) == 1:
            continue
        widths = list(dict.fromkeys(e.width for e in group if e.width))
        levels = [level for level in LEVELS if level in {e.level for e in group}]
        numbers = sorted({e.l0 for e in group if e.l0 is not None})
        alone = len({e.width for e in group}) == len(group) and len(widths) > 1
        ways, example = [], []
        if len(widths) > 1:
            ways.append(f"width ({_few(widths)})")
            example.append(f'width="{widths[0]}"')
        if not alone and (levels or len(numbers) > 1):
            ways.append(f"l0 ({', '.join(levels) or _few(f'{n:g}' for n in numbers)})")
            example.append('l0="medium"')
        by = f"{' and '.join(ways)}, or by ids" if ways else "ids"
        given = ", ".join(example) if ways else f"ids=[{group[0].id!r}]"
        raise EmotionInterpError(
            f"{name} has {len(group)} SAEs at {site}: choose by {by}, such as choose=ei.SaeChoice({given}) (in a shell "
            f"--width, --l0, --sae-ids). Their ids: {_few(e.id for e in group)}."
        )


def _few(items: Iterable[str]) -> str:
    names = list(items)
    more = f", ... ({len(names) - _SHOWN} more)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
