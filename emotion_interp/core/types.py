"""What every room speaks: sites, stimuli and directions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError

KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")
"""Readable kinds of site."""

WRITABLE_KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Kinds at which a direction can be added; `resid_mid` is written as an addition at `attn_out`."""

_NAME = re.compile(r"^blocks\.(\d+)\.(?:hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out)|attn\.hook_(z))$")


@dataclass(frozen=True, order=True)
class Site:
    """One hook point of a model, by layer (counted from 0) and kind.

    Raises:
        UnknownNameError: the kind is none of `KINDS`.

    Example:
        >>> Site(5).hook_name
        'blocks.5.hook_resid_post'
        >>> Site.parse("blocks.2.attn.hook_z")
        Site(layer=2, kind='z')
    """

    layer: int
    kind: str = "resid_post"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("site kind", self.kind, KINDS)
        if isinstance(self.layer, bool) or not isinstance(self.layer, (int, np.integer)) or self.layer < 0:
            raise EmotionInterpError(f"a layer is a whole number from 0, got {self.layer!r}.")
        object.__setattr__(self, "layer", int(self.layer))

    @property
    def hook_name(self) -> str:
        """The TransformerLens name of the hook point."""
        return f"blocks.{self.layer}.attn.hook_z" if self.kind == "z" else f"blocks.{self.layer}.hook_{self.kind}"

    @classmethod
    def parse(cls, hook_name: str) -> Site:
        """Read a TransformerLens hook name; `UnknownNameError` if it is none of the readable kinds."""
        match = _NAME.match(hook_name)
        if not match:
            raise UnknownNameError("hook", hook_name, [f"blocks.{{layer}}.hook_{k}" for k in KINDS if k != "z"])
        return cls(int(match[1]), match[2] or match[3])

    def __str__(self) -> str:
        return self.hook_name


@dataclass(frozen=True)
class Stimulus:
    """One text shown to the subject, with the character span of its target.

    `group` joins what must stay on one side of a split (a lemma, its translations). `emotion` is "neutral" for the
    contrast class.
    """

    text: str
    span: tuple[int, int]
    emotion: str
    word: str
    template: str
    language: str
    group: str

    def __post_init__(self) -> None:
        start, end = self.span
        if not 0 <= start < end <= len(self.text):
            raise EmotionInterpError(f"the span {self.span} lies outside the text of {len(self.text)} characters.")


@dataclass(frozen=True, eq=False)
class Direction:
    """A vector at a site: dense (difference of means) or built from SAE decoder rows. Shape [d_model], float32.

    Example:
        >>> Direction([3.0, 4.0], layer=2).unit
        array([0.6, 0.8], dtype=float32)
    """

    vector: Any
    layer: int
    kind: str = "resid_post"
    name: str = "direction"
    language: str | None = None
    method: str = "custom"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Site(self.layer, self.kind)
        value = self.vector
        if hasattr(value, "detach"):
            value = value.detach().to("cpu").float().numpy()
        vector = np.array(value, dtype=np.float32)
        if vector.ndim != 1 or vector.size == 0:
            raise EmotionInterpError(f"a direction is one vector [d_model], got shape {vector.shape}.")
        if not np.isfinite(vector).all():
            raise NotFiniteError(f"the direction {self.name!r} has NaN or infinite entries.")
        if not np.linalg.norm(vector) > 0:
            raise EmotionInterpError(f"the direction {self.name!r} is the zero vector; it points nowhere.")
        vector.setflags(write=False)
        object.__setattr__(self, "vector", vector)

    @property
    def site(self) -> Site:
        return Site(self.layer, self.kind)

    @property
    def unit(self) -> np.ndarray:
        """The vector at length one."""
        return self.vector / np.linalg.norm(self.vector)

    def _with(self, vector: np.ndarray, name: str) -> Direction:
        return Direction(vector, self.layer, self.kind, name, self.language, self.method, dict(self.provenance))

    def __neg__(self) -> Direction:
        return self._with(-self.vector, f"-{self.name}")

    def __add__(self, other: Direction) -> Direction:
        """Mixture of two directions at one site, each at unit length (joy + sadness = bittersweet)."""
        if self.site != other.site:
            raise EmotionInterpError(f"directions of two sites cannot be mixed: {self.site} and {other.site}.")
        return self._with(self.unit + other.unit, f"{self.name}+{other.name}")

    def __repr__(self) -> str:
        return f"Direction({self.name!r}, {self.site}, d_model={self.vector.size}, method={self.method!r})"
