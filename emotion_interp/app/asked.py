"""What the page may ask for: each question as one frozen object, its fields checked before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.options import Options, merged

Q = TypeVar("Q", bound="Options")
MOST_BYTES = 64 * 1024
"""Of a question's body: far more than a context holds."""
MOST_NEW_TOKENS = 400
MOST_DOSE = 10.0


@dataclass(frozen=True, kw_only=True)
class ReadText(Options):
    """Read a text token by token.

    Attributes:
        text: any text.
        language: whose features; None: the text's own.
        generated_from: where the text that the subject wrote begins, in characters; None: nowhere.
        steered: whether what it wrote was steered.
    """

    text: str = ""
    language: str | None = None
    generated_from: int | None = None
    steered: bool = False

    @property
    def marks(self) -> dict[str, list[tuple[int, int]]]:
        """The stretch that the subject wrote, as a trace takes it."""
        if self.generated_from is None:
            return {}
        return {"steered" if self.steered else "generated": [(self.generated_from, len(self.text))]}


@dataclass(frozen=True, kw_only=True)
class ReadToken(Options):
    """The features that fire at one token.

    Attributes:
        text: as read.
        token: its place, counted from 0.
        site: name of the site.
        language: whose features.
        emotion: to whose value the features add; None: to none.
    """

    text: str = ""
    token: int = 0
    site: str = ""
    language: str | None = None
    emotion: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReadFeature(Options):
    """The card of one feature.

    Attributes:
        site: name of the site.
        feature: the latent's number.
    """

    site: str = ""
    feature: int = 0


@dataclass(frozen=True, kw_only=True)
class Write(Options):
    """Continue a prompt without and with steering.

    Attributes:
        prompt: what both texts begin with.
        emotions: whose directions are added; the dose is shared among them.
        valence: with arousal, instead of emotions: a point in standard deviations from the emotions' mean.
        arousal: as valence.
        dose: in units of the site's scale; for a point, times its distance from the middle.
        site: name of the site.
        method: kind of direction.
        language: whose directions.
        positions: which tokens are steered.
        max_new_tokens: at most so many of each text.
        do_sample: draw the words; else the likeliest are taken.
        temperature: of the draw.
        seed: of the draw, the same for both texts.
    """

    prompt: str = ""
    emotions: Sequence[str] = ()
    valence: float | None = None
    arousal: float | None = None
    dose: float = 0.5
    site: str = ""
    method: str = "sae"
    language: str | None = None
    positions: str = "generated"
    max_new_tokens: int = 40
    do_sample: bool = True
    temperature: float = 0.8
    seed: int = 0

    @property
    def is_point(self) -> bool:
        """Whether it asks for a place on the plane."""
        return self.valence is not None or self.arousal is not None

    def check(self) -> None:
        """Refuse what no subject could do.

        Raises:
            EmotionInterpError: no prompt, nothing to steer to, both ways at once, or more than the page writes.
        """
        if not self.prompt.strip():
            raise EmotionInterpError("the prompt is empty; give at least one word.")
        if self.is_point == bool(self.emotions):
            raise EmotionInterpError("choose at least one emotion, or a point on the plane, and one of the two.")
        if not 1 <= self.max_new_tokens <= MOST_NEW_TOKENS:
            raise EmotionInterpError(f"new tokens are from 1 to {MOST_NEW_TOKENS}, got {self.max_new_tokens}.")
        if abs(self.dose) > MOST_DOSE:
            raise EmotionInterpError(f"a dose is from -{MOST_DOSE:g} to {MOST_DOSE:g}, got {self.dose:g}.")


def question(kind: type[Q], body: bytes) -> Q:
    """The question in the body of a request.

    Raises:
        EmotionInterpError: no JSON object, a field that is not there, or a value of another type or out of range.
    """
    try:
        fields = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise EmotionInterpError(f"a question is a JSON object, and this is none: {error}") from None
    if not isinstance(fields, dict):
        raise EmotionInterpError(f"a question is a JSON object, got a {type(fields).__name__}.")
    return merged(kind, None, fields)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
