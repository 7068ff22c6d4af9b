"""Directions that are no emotion's: what a steering figure has to beat, of four kinds, each at length one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from emotion_interp.activations import read_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.markup import facts_html
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

KINDS = ("isotropic", "decoder", "topics", "shuffled")
"""What `random_directions` draws; the last two are made of texts."""

OF_TEXTS = KINDS[2:]

_LEAST_SHARED = 2
"""Emotions that two topics must share, so that their difference is of no single emotion."""


@dataclass(frozen=True, eq=False)
class NullTexts:
    """Labelled texts as a subject reads them, for kinds of random directions that are made of texts.

    Attributes:
        values: site -> activations [text, d_model], pooled as a bank's dense directions are.
        emotions: of each text; a group is a topic.
        groups: of each text; a group is a topic.
    """

    values: Mapping[Site, np.ndarray]
    emotions: tuple[str, ...]
    groups: tuple[str, ...]

    def __repr__(self) -> str:
        return f"NullTexts({len(self.emotions)} texts of {len(set(self.emotions))} emotions, {len(self.values)} sites)"

    def _repr_html_(self) -> str:
        return facts_html(self, {str(site): f"{len(v):,} x {v.shape[1]:,}" for site, v in self.values.items()})


@dataclass(frozen=True, eq=False)
class NullDirections:
    """Random directions of one kind at one site.

    Attributes:
        units: [direction, d_model], each of length one.
        latents: of "decoder", whose decoder rows they are; else None.
    """

    kind: str
    site: Site
    units: np.ndarray
    latents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        return f"NullDirections({self.kind!r}, {self.site}, {len(self)} directions)"

    def _repr_html_(self) -> str:
        return facts_html(self, {"kind": self.kind, "site": self.site, "directions": len(self)})


@checked
def null_texts(
    subject: Subject,
    stimuli: Sequence[Stimulus],
    sites: Iterable[int | Site | str] | None = None,
    position: str = "text",
    skip: int = 8,
) -> NullTexts:
    """Read labelled texts once for `random_directions(kinds=("topics", "shuffled"))`.

    Args:
        subject: the model.
        stimuli: texts with an emotion and a group each (`corpus_stimuli("stories", split="subject")`: groups are topics).
        sites: default: every site with an SAE.
        position: as in `read_units`; the defaults are those of banks found on texts.
        skip: as in `read_units`; the defaults are those of banks found on texts.

    Raises:
        EmotionInterpError: no texts.

    Example:
        >>> texts = null_texts(subject, ei.corpus_stimuli("stories", split="subject"), [2])  # doctest: +SKIP
    """
    if not len(stimuli):
        raise EmotionInterpError("null_texts needs labelled texts, got none.")
    places = list(subject.sites) if sites is None else [subject.site(s) for s in sites]
    reading: dict[str, object] = {"position": position, "skip": skip}
    readings = read_stimuli(subject, stimuli, np.arange(len(stimuli)), sites=places, **reading)
    values = {site: np.asarray(site_reading.dense, dtype=np.float64) for site, site_reading in readings.items()}
    return NullTexts(values, tuple(s.emotion for s in stimuli), tuple(s.group for s in stimuli))


@checked
def random_directions(
    subject: Subject,
    site: int | Site | str,
    n: int = 599,
    kinds: Sequence[str] = ("isotropic",),
    seed: int = 0,
    texts: NullTexts | Sequence[Stimulus] | None = None,
) -> dict[str, NullDirections]:
    """Random directions of several kinds, to stand beside an emotion's direction of the same length.

    "isotropic": normal in every dimension. "decoder": decoder rows of the site's SAE, drawn without replacement among
    the latents. "topics": difference of means between two topics of the texts, mean over the emotions that both have, so
    that no emotion is in it; each pair of topics at most once, its sign drawn. "shuffled": difference of means of
    an emotion after the labels of all texts have been permuted, the emotions in turn.

    Args:
        subject: the model, with an SAE at `site` for "decoder".
        site: where.
        n: directions of each kind. With Holm over k emotions at .05 at least 20 k of them: 599 for 28.
        kinds: of `KINDS`.
        seed: of the draws; the kinds do not depend on each other.
        texts: for "topics" and "shuffled": `null_texts(...)`, or stimuli, which are then read.

    Returns:
        kind -> directions.

    Raises:
        UnknownNameError: no such kind, or no SAE at the site ("decoder").
        EmotionInterpError: kinds that need texts without them, or more directions than there are pairs of topics or latents.

    Example:
        >>> random_directions(subject, 2, 99, ("isotropic", "decoder"))["decoder"].units.shape  # doctest: +SKIP
        (99, 256)
    """
    place, asked = subject.site(site), checked_kinds(kinds)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise EmotionInterpError(f"n is a number of directions from 1, got {n!r}.")
    if texts is not None and not isinstance(texts, NullTexts):
        texts = null_texts(subject, texts, [place])
    return {kind: _drawn(subject, place, int(n), kind, seed, texts) for kind in asked}


def checked_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds, each once.

    Raises:
        UnknownNameError: one that is not known.
        EmotionInterpError: none, or a bare string.
    """
    if isinstance(kinds, str) or not len(kinds):
        raise EmotionInterpError(f"kinds is a list of {', '.join(map(repr, KINDS))}; got {kinds!r}.")
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("kind of random direction", kind, KINDS)
    return tuple(dict.fromkeys(kinds))


def _drawn(subject: Subject, site: Site, n: int, kind: str, seed: int, texts: NullTexts | None) -> NullDirections:
    if kind == "isotropic":
        vectors = generator(seed, "random directions", site.hook_name).normal(size=(n, subject.d_model))
        return NullDirections(kind, site, _units(vectors, kind))
    random = generator(seed, f"random directions, {kind}", site.hook_name)
    if kind == "decoder":
        latents, rows = _decoder_rows(subject, site, n, random)
        return NullDirections(kind, site, _units(rows, kind), latents)
    if texts is None:
        raise EmotionInterpError(
            f"random directions of the kind {kind!r} are made of texts: give texts= (or stimuli=), labelled texts in "
            "groups such as corpus_stimuli('stories', split='subject')."
        )
    if site not in texts.values:
        raise UnknownNameError("site of the texts that were read", site, texts.values)
    make = _topic_differences if kind == "topics" else _shuffled_differences
    return NullDirections(kind, site, _units(make(texts, site, n, random), kind))


def _units(vectors: np.ndarray, kind: str) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise EmotionInterpError(f"a random direction of the kind {kind!r} is zero or not finite.")
    return vectors / lengths


def _decoder_rows(subject: Subject, site: Site, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if site not in subject.readers:
        raise UnknownNameError("site with an SAE", site, subject.readers)
    reader = subject.readers[site]
    rows = reader.decoder_rows(range(reader.d_sae)).float().cpu().numpy().astype(np.float64)
    if rows.shape[1] != subject.d_model:
        raise EmotionInterpError(
            f"the SAE at {site} writes {rows.shape[1]} dimensions, not the {subject.d_model} of it."
        )
    nonzero = np.flatnonzero(np.linalg.norm(rows, axis=1) > 0)
    if len(nonzero) < n:
        raise EmotionInterpError(f"the SAE at {site} has {len(nonzero)} decoder rows, fewer than the {n} asked for.")
    # a permutation, so that fewer directions are the first of more
    latents = random.permutation(nonzero)[:n]
    return latents, rows[latents]


def _topic_differences(texts: NullTexts, site: Site, n: int, random: np.random.Generator) -> np.ndarray:
    """Differences of two topics' means, each emotion counting alike: [direction, d_model]."""
    values = texts.values[site]
    topics, topic_of = np.unique(np.asarray(texts.groups), return_inverse=True)
    emotions, emotion_of = np.unique(np.asarray(texts.emotions), return_inverse=True)
    cells = topic_of * len(emotions) + emotion_of
    counts = np.bincount(cells, minlength=len(topics) * len(emotions))
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, cells, values)
    means = (sums / np.maximum(counts, 1)[:, None]).reshape(len(topics), len(emotions), -1)
    present = (counts > 0).reshape(len(topics), len(emotions))
    shared = present.astype(np.int64) @ present.T.astype(np.int64)
    pairs = np.argwhere(np.triu(shared >= min(_LEAST_SHARED, len(emotions)), 1))
    if len(pairs) < n:
        raise EmotionInterpError(
            f"{len(topics)} topics (groups of the texts) make {len(pairs)} pairs that share emotions, fewer than the {n} "
            "random directions asked for; give texts of more topics, or leave the kind 'topics' out."
        )
    result = np.empty((n, values.shape[1]))
    for i, (a, b) in enumerate(pairs[random.permutation(len(pairs))[:n]]):
        both = present[a] & present[b]
        result[i] = random.choice((-1.0, 1.0)) * (means[a, both] - means[b, both]).mean(0)
    return result


def _shuffled_differences(texts: NullTexts, site: Site, n: int, random: np.random.Generator) -> np.ndarray:
    """Difference of means of one emotion after each shuffle of the labels: [direction, d_model]."""
    named = sorted(set(texts.emotions) - {"neutral"})
    if len(named) < 2:
        raise EmotionInterpError(f"labels of {len(named)} emotion(s) cannot be shuffled; give texts of at least two.")
    names = [*named, *(["neutral"] if "neutral" in texts.emotions else [])]
    codes = np.asarray([names.index(e) for e in texts.emotions])
    values, places, ones = texts.values[site], np.arange(len(codes)), np.ones(len(codes))
    sizes = np.bincount(codes, minlength=len(names))[:, None]
    result = np.empty((n, values.shape[1]))
    for i in range(n):
        classes = csr_matrix((ones, (codes[random.permutation(len(codes))], places)), (len(names), len(codes)))
        means = classes @ values / sizes
        # the contrast of `contrast_means`, of one class
        contrast = np.delete(means[: len(named)], i % len(named), 0).mean(0)
        if len(names) > len(named):
            contrast = 0.5 * contrast + 0.5 * means[-1]
        result[i] = means[i % len(named)] - contrast
    return result
