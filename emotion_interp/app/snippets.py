"""The page's doings as Python: the same calls, to copy into a notebook or script."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_interp.app.asked import ReadFeature, ReadText, Write


@dataclass(frozen=True)
class Origin:
    """Where the page's subject and bank came from, as code says it.

    Attributes:
        subject: an expression that makes the subject; empty: it was handed over.
        bank: an expression that makes the bank, in which `subject` may stand; empty: it was handed over.
    """

    subject: str = ""
    bank: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines that a copied piece begins with."""
        subject = self.subject and f"subject = {self.subject}"
        bank = self.bank and f"bank = {self.bank}"
        return [
            "import emotion_interp as ei",
            "",
            subject or "# subject: as given to serve",
            bank or "# bank: as given to serve",
        ]


def reading_code(origin: Origin, asked: ReadText, site: str) -> str:
    """A text read, shown at one site."""
    language = "" if asked.language is None else f", language={asked.language!r}"
    return _joined(
        *origin.lines,
        f"trace = ei.emotion_trace(subject, {asked.text!r}, bank{language})",
        f"trace.view(layer={site!r})",
    )


def card_code(origin: Origin, asked: ReadFeature) -> str:
    """A feature's card."""
    return _joined(*origin.lines, f"ei.feature_card(bank, layer={asked.site!r}, feature={asked.feature})")


def writing_code(origin: Origin, asked: Write, doses: list[float]) -> str:
    """A prompt continued without and with steering.

    Args:
        origin: of subject and bank.
        asked: what was written.
        doses: of each direction, as they were added.
    """
    place = f"layer={asked.site!r}"
    language = "" if asked.language is None else f", language={asked.language!r}"
    ways = f"{language}, method={asked.method!r}"
    if asked.is_point:
        point = f"valence={asked.valence or 0.0!r}, arousal={asked.arousal or 0.0!r}"
        directions = [f"directions = [ei.dial(bank, {point}, {place}{ways})]"]
    else:
        directions = [
            "directions = [",
            *(f"    bank.direction({emotion!r}, {place}{ways})," for emotion in asked.emotions),
            "]",
        ]
    drawn = f"do_sample=True, temperature={asked.temperature!r}, seed={asked.seed!r}" if asked.do_sample else ""
    options = f"options = dict(max_new_tokens={asked.max_new_tokens}{', ' if drawn else ''}{drawn})"
    return _joined(
        *origin.lines,
        f"prompt = {asked.prompt!r}",
        *directions,
        options,
        "print(subject.generate(prompt, **options))",
        f"with ei.steer(subject, directions, dose={doses!r}, positions={asked.positions!r}):",
        "    print(subject.generate(prompt, **options))",
    )


def _joined(*lines: str) -> str:
    return "\n".join(lines) + "\n"
