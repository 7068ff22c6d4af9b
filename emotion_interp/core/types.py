"""What every room speaks: sites, stimuli and directions."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emotion_interp.core.arguments import as_array, checked_methods
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError, UnsupportedError
from emotion_interp.core.markup import facts_html, fragment
from emotion_interp.core.messages import Pairs

if TYPE_CHECKING:
    import torch


T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
"""Of a mapping with keys of any one kind."""
At = TypeVar("At", bound="int | Site | str")
"""Of a mapping by place: its keys are layers' numbers, sites or hook names."""

KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")
"""Readable kinds of site."""

WRITABLE_KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Kinds at which a direction can be added; `resid_mid` is written as an addition at `attn_out`."""

_NAME = re.compile(
    r"^blocks\.(\d+)\.(?:hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out)|attn\.hook_(z))(?:#([^#|\s]+))?$"
)


@checked_methods
@dataclass(frozen=True, order=True)
class Site:
    """One hook point of a model, by layer (counted from 0) and kind.

    `sae` tells apart several SAEs that read one hook point ("16k", "65k"); it is empty where there is one or none.

    Raises:
        UnknownNameError: the kind is none of `KINDS`.
        EmotionInterpError: a layer below 0, or an SAE name with '#', '|' or white space.

    Example:
        >>> Site(5).hook_name
        'blocks.5.hook_resid_post'
        >>> Site.parse("blocks.2.attn.hook_z")
        Site(layer=2, kind='z')
        >>> str(Site(5, sae="16k"))
        'blocks.5.hook_resid_post#16k'
    """

    layer: int
    kind: str = "resid_post"
    sae: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("site kind", self.kind, KINDS)
        if isinstance(self.layer, bool) or not isinstance(self.layer, (int, np.integer)) or self.layer < 0:
            raise EmotionInterpError(f"a layer is a whole number from 0, got {self.layer!r}.")
        if not isinstance(self.sae, str) or re.search(r"[#|\s]", self.sae):
            raise EmotionInterpError(f"the name of an SAE has no '#', '|' or white space, got {self.sae!r}.")
        object.__setattr__(self, "layer", int(self.layer))

    @property
    def point(self) -> Site:
        """The hook point, whichever SAE reads it."""
        return Site(self.layer, self.kind) if self.sae else self

    @property
    def hook_name(self) -> str:
        """The TransformerLens name of the hook point."""
        return f"blocks.{self.layer}.attn.hook_z" if self.kind == "z" else f"blocks.{self.layer}.hook_{self.kind}"

    @classmethod
    def parse(cls, hook_name: str) -> Site:
        """Read a TransformerLens hook name, with or without "#sae"; `UnknownNameError` if it is no readable kind."""
        match = _NAME.match(hook_name)
        if not match and hook_name.strip().lstrip("-").isdigit():
            raise EmotionInterpError(f"a layer is a whole number, got the text {hook_name!r}. Write {int(hook_name)}.")
        if not match:
            raise UnknownNameError("hook", hook_name, [f"blocks.{{layer}}.hook_{k}" for k in KINDS if k != "z"])
        return cls(int(match[1]), match[2] or match[3], match[4] or "")

    def __str__(self) -> str:
        return f"{self.hook_name}#{self.sae}" if self.sae else self.hook_name

    def _repr_html_(self) -> str:
        return fragment("<code>{}</code>", self)

    def __repr__(self) -> str:
        sae = f", sae={self.sae!r}" if self.sae else ""
        return f"Site(layer={self.layer}, kind={self.kind!r}{sae})"


def sites_at(sites: Iterable[Site], layer: int | Site | str) -> list[Site]:
    """Those of some sites that a layer, a hook name or a site stands for; the one to take where one is needed comes first.

    A layer stands for all its sites, `resid_post` first, then in order; a site without an SAE's name for every SAE at
    its hook point.

    Raises:
        UnknownNameError: none of them.

    Example:
        >>> sites_at([Site(0, "mlp_out"), Site(0), Site(1)], 0)
        [Site(layer=0, kind='resid_post'), Site(layer=0, kind='mlp_out')]
    """
    known = sorted(sites)
    if isinstance(layer, str):
        layer = Site.parse(layer)
    if not isinstance(layer, Site):
        matching = sorted((s for s in known if s.layer == layer), key=lambda s: (s.kind != "resid_post", s))
        if not matching:
            raise UnknownNameError("layer", layer, sorted({s.layer for s in known}))
        return matching
    matching = [layer] if layer in known else [s for s in known if s.point == layer]
    if not matching:
        raise UnknownNameError("site", str(layer), map(str, known))
    return matching


def site_of(layer: int | Site | str) -> Site:
    """The site of a hook name, or `resid_post` of a layer's number."""
    return layer if isinstance(layer, Site) else Site.parse(layer) if isinstance(layer, str) else Site(layer)


class BySite(dict[Site, T]):
    """Values by site. Keys may be given, and values asked for, by a layer's number or a hook name too (`sites_at`).

    Raises:
        EmotionInterpError: two values of one site.

    Example:
        >>> BySite({2: "a", "blocks.3.hook_mlp_out": "b"})[3]
        'b'
    """

    def __init__(self, values: Mapping[At, T]) -> None:
        super().__init__({site_of(key): value for key, value in values.items()})
        if len(self) < len(values):
            raise EmotionInterpError(f"one site is named twice: {', '.join(map(str, values))}.")

    def __missing__(self, layer: int | Site | str) -> T:
        return self[sites_at(self, layer)[0]]


@dataclass(frozen=True)
class Stimulus:
    """One text shown to the subject, with the character span of its target.

    `group` joins what must stay on one side of a split (a lemma, its translations). `emotion` is "neutral" for the
    contrast class. `messages` are the conversation in which a chat model is shown the text: (role, content), with
    `{text}` in its place; none: the text alone.
    """

    text: str
    span: tuple[int, int]
    emotion: str
    word: str
    template: str
    language: str
    group: str
    messages: Pairs = ()

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise EmotionInterpError(f"the text of a stimulus is a string, got {self.text!r}.")
        if not all(isinstance(v, str) for v in (self.text, self.emotion, self.word, self.language, self.group)):
            raise EmotionInterpError(
                f"text, emotion, word, language and group of a stimulus are texts; got {self!r:.150}."
            )
        start, end = self.span
        if not 0 <= start < end <= len(self.text):
            raise EmotionInterpError(f"the span {self.span} lies outside the text of {len(self.text)} characters.")


@checked_methods
@dataclass(frozen=True, eq=False)
class Direction:
    """A vector at a site: dense (difference of means) or built from SAE decoder rows. Shape [d_model], float32.

    Example:
        >>> Direction([3.0, 4.0], layer=2).unit
        array([0.6, 0.8], dtype=float32)
    """

    vector: np.ndarray
    layer: int
    kind: str = "resid_post"
    name: str = "direction"
    language: str | None = None
    method: str = "custom"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Site(self.layer, self.kind)
        vector = as_array("the entries of a direction", self.vector, "float32")
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

    def hooks(
        self, dose: float = 0.5, scale: float | None = None, has_bos: bool = True
    ) -> list[tuple[str, Callable[..., object]]]:
        """Hooks that add `dose * scale * unit` to a TransformerLens model: for `model.hooks(fwd_hooks=...)` and the like.

        The same as `steer(subject, direction, dose, positions="all")`, for models that are no Subject. A hook sees nothing
        but activations: left padding is steered too, and so is its BOS. `resid_mid` is written at `hook_attn_out`, since on
        a bridge `hook_resid_mid` sits on a side branch; blocks that run attention and MLP side by side have no such place.

        They act in the thread that made them; another thread that runs the hooked model gets an `EmotionInterpError`. The
        asyncio tasks of a thread share what is hooked to a model: between them, use `steer`.

        Args:
            dose: strength in units of the scale.
            scale: median norm of the site's activations; default: `provenance["scale"]`, which a bank's directions carry.
            has_bos: position 0 is BOS and is left alone; in a pass of a single column that is taken for a token after it,
                as a KV cache gives them.

        Returns:
            Pairs of hook name and function (activations [row, column, d_model], hook) -> activations.

        Raises:
            EmotionInterpError: no scale is known, or dose or scale are no numbers.
            UnsupportedError: the site cannot be written.

        Example:
            >>> direction = Direction([3.0, 4.0], layer=2, provenance={"scale": 10.0})
            >>> [name for name, _ in direction.hooks(0.5)]
            ['blocks.2.hook_resid_post']
            >>> with model.hooks(fwd_hooks=direction.hooks(0.5)):  # doctest: +SKIP
            ...     model.generate("The letter said")
        """
        if self.kind not in WRITABLE_KINDS:
            raise UnsupportedError(
                f"{self.site} cannot be written; a direction is added at one of {', '.join(WRITABLE_KINDS)}."
            )
        size = self.provenance.get("scale") if scale is None else scale
        if size is None:
            raise EmotionInterpError(
                f"the direction {self.name!r} carries no scale; pass scale=, the median norm of activations at {self.site}."
            )
        if not (_is_finite(size) and size > 0):
            raise EmotionInterpError(f"the scale of {self.site} is a positive number, got {size!r}.")
        if not _is_finite(dose):
            raise EmotionInterpError(f"a dose is a finite number in units of the scale, got {dose!r}.")
        vector = (float(dose) * float(size) * self.unit).astype(np.float32)
        place = Site(self.layer, "attn_out" if self.kind == "resid_mid" else self.kind)
        return [(place.hook_name, _AddingHook(self.name, vector, has_bos))]

    def _with(self, vector: np.ndarray, name: str) -> Direction:
        return Direction(vector, self.layer, self.kind, name, self.language, self.method, dict(self.provenance))

    def __neg__(self) -> Direction:
        return self._with(-self.vector, f"-{self.name}")

    def __add__(self, other: Direction) -> Direction:
        """Mixture of two directions at one site, each at unit length (joy + sadness = bittersweet)."""
        if self.site != other.site:
            raise EmotionInterpError(f"directions of two sites cannot be mixed: {self.site} and {other.site}.")
        return self._with(self.unit + other.unit, f"{self.name}+{other.name}")

    def _repr_html_(self) -> str:
        facts = {"language": self.language, "length": f"{np.linalg.norm(self.vector):.3g}", **self.provenance}
        return facts_html(self, {name: value for name, value in facts.items() if value is not None})

    def __repr__(self) -> str:
        return f"Direction({self.name!r}, {self.site}, d_model={self.vector.size}, method={self.method!r})"


class _AddingHook:
    """A plain hook that adds a vector in the thread that made it."""

    def __init__(self, name: str, vector: np.ndarray, has_bos: bool) -> None:
        self.name, self.vector, self.has_bos = name, vector, has_bos
        self._thread = threading.get_ident()
        self._kept: dict[tuple[object, object], torch.Tensor] = {}
        self._last: weakref.ref[torch.Tensor] | None = None

    def __call__(self, activations: torch.Tensor, hook: object = None) -> torch.Tensor:
        del hook
        if threading.get_ident() != self._thread:
            # silent here, the thread that it was meant for might run without it; acting, it would steer a stranger's
            raise EmotionInterpError(
                f"hooks of the direction {self.name!r} were made in another thread, and act on this model now. Call "
                "hooks() in the thread that runs the model, or use steer, which only its own thread sees."
            )
        # a bridge in compatibility mode calls a hook again, on its own answer, for each name of the hook point
        if self._last is not None and self._last() is activations:
            return activations
        key = (activations.device, activations.dtype)
        if key not in self._kept:
            self._kept[key] = activations.new_tensor(self.vector)
        if not self.has_bos or activations.shape[1] == 1:
            moved = activations + self._kept[key]
        else:
            moved = activations.clone()
            moved[:, 1:] += self._kept[key]
        self._last = weakref.ref(moved)
        return moved


def _is_finite(value: Any) -> bool:
    """Whether it is a finite number (True and False are none)."""
    try:
        return not isinstance(value, (bool, np.bool_)) and bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
