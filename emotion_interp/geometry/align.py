"""Emotion space against people: the entry functions `align` and `align_layers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.options import merged
from emotion_interp.core.types import Key, Site
from emotion_interp.geometry import rsa
from emotion_interp.geometry.beside import beside_texts, require_same_stimuli, text_controls
from emotion_interp.geometry.circumplex import circumplex_fit
from emotion_interp.geometry.coordinates import HumanCoordinates, as_norms, human_coordinates
from emotion_interp.geometry.options import AlignChoices, AlignOptions, Halves
from emotion_interp.geometry.pc_scan import ComponentFit, Components, principal_components, scan
from emotion_interp.geometry.procrustes import cross_products, fitted_points, procrustes_fit, unit_configuration
from emotion_interp.geometry.readout import leave_one_out_operator, readout_fit
from emotion_interp.geometry.resampling import WordIntervals, resampled_components, word_intervals
from emotion_interp.geometry.results import Alignment, LayerAlignments
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.stats.intervals import NO_INTERVAL, permutation_p, permutations

if TYPE_CHECKING:
    from emotion_interp.norms import Norms


@dataclass(frozen=True)
class _Settings:
    norms: str
    coordinates: str
    n_permutations: int
    n_bootstrap: int
    n_components: int
    ridge: float
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("n_permutations", 1), ("n_bootstrap", 0), ("n_components", 1)):
            if getattr(self, name) < least:
                raise EmotionInterpError(f"{name} is at least {least}, got {getattr(self, name)}.")
        if not self.ridge > 0:
            raise EmotionInterpError(f"ridge is above 0, got {self.ridge}.")


@checked
def align(
    space: EmotionSpace,
    norms: Norms | pd.DataFrame,
    n_permutations: int = 10_000,
    seed: int = 0,
    coordinates: str = "label",
    *,
    controls: Mapping[str, EmotionSpace] | None = None,
    options: AlignOptions | None = None,
    **choices: Unpack[AlignChoices],
) -> Alignment:
    """Compare one emotion space [emotion, dimension] with human valence and arousal.

    PC scan, RSA, Procrustes, circumplex order and leave-one-emotion-out read-out, each with a permutation p of
    (b + 1) / (m + 1). Every r and rho has a 95% interval over emotions (`ci`, `ci_emotions`) and, where the space
    carries units, one over the words or texts behind the emotions (`ci_words`); `n_bootstrap=0` leaves them out. For
    CEBRA align a `cebra_space`. Emotions without a rating are dropped and listed in `.unmatched`. Norms that hold
    valence alone (labMT, SEV) give the valence half.

    Args:
        space: the model's.
        norms: `load_norms(...)`, or a frame indexed (or with a column) by emotion or word, with valence and arousal.
        n_permutations: of the emotions, for every p.
        seed: of the permutations and the intervals.
        coordinates: "label" (the rating of the emotion's name) or "words" (the mean of `words[emotion]`).
        controls: name -> space that should *not* align (`control_spaces`); each is aligned in the same way.
        options: names and words that are rated, halves, intervals, components, read-out, and the texts alone.
        **choices: fields of `AlignOptions`, by keyword.

    Raises:
        EmotionInterpError: fewer than 5 emotions with a rating, constant ratings, settings out of range.
        UnknownNameError: unknown `coordinates`.

    Example:
        >>> import numpy as np
        >>> from emotion_interp.norms import load_norms
        >>> emotions = ["joy", "love", "calm", "fear", "anger", "sadness", "boredom"]
        >>> rated = load_norms("builtin").lookup(emotions)[["valence", "arousal"]].to_numpy()
        >>> fit = align(EmotionSpace(rated, emotions), load_norms("builtin"), n_permutations=999)
        >>> fit.valence.pc, bool(fit.procrustes.disparity < 0.2)
        (1, True)
    """
    chosen = merged(AlignOptions, options, choices)
    settings, human = _human([space], norms, coordinates, n_permutations, seed, chosen)
    orders = permutations(len(human.emotions), n_permutations, seed)
    if isinstance(chosen.halves, Mapping):
        raise EmotionInterpError("halves of one space are two spaces; a mapping is for align_layers.")
    alignment = _group([space], human, orders, settings, [chosen.halves])[0]
    fits = {}
    for name, control in (controls or {}).items():
        missing = [e for e in human.emotions if e not in control.emotions]
        if missing:
            raise EmotionInterpError(f"the control space {name!r} lacks {', '.join(missing)}; give the same emotions.")
        fits[name] = _group([control], human, orders, settings, [None])[0]
    require_same_stimuli(space, controls or {})
    text = {**space.baselines, **text_controls(controls or {})} if chosen.text is None else chosen.text
    return replace(_beside([space], [alignment], text, human, orders, settings)[0], controls=fits)


@checked
def align_layers(
    spaces: Mapping[Key, EmotionSpace] | Sequence[EmotionSpace],
    norms: Norms | pd.DataFrame | Mapping[str, Norms | pd.DataFrame],
    n_permutations: int = 10_000,
    seed: int = 0,
    coordinates: str = "label",
    *,
    options: AlignOptions | None = None,
    **choices: Unpack[AlignChoices],
) -> LayerAlignments:
    """Align every layer, in every language; `*_p_layers` is corrected over components and layers.

    Spaces of one language and kind form a family: they share the permutations, and `*_p_layers` compares each layer
    with the largest |r| over all PCs and layers of the family under the same permutation.

    Args:
        spaces: layer or site -> space, any key -> space that knows its layer, or a list of spaces.
        norms: as for `align`, or language -> norms.
        n_permutations: as for `align`.
        seed: as for `align`.
        coordinates: as for `align`.
        options: as for `align`; labels and words may be language -> such a mapping, halves are key -> two spaces.
        **choices: fields of `AlignOptions`, by keyword.

    Raises:
        EmotionInterpError: as `align`; no spaces; spaces of one family with different emotions.
        UnknownNameError: no norms for the language of a space.
    """
    chosen = merged(AlignOptions, options, choices)
    if not isinstance(chosen.halves, (Mapping, NoneType)):
        raise EmotionInterpError("halves of several spaces are key -> the two halves of that space.")
    halves = chosen.halves or {}
    keyed = dict(spaces) if isinstance(spaces, Mapping) else dict(enumerate(spaces))
    if not keyed:
        raise EmotionInterpError("there is no emotion space to align; give layer -> EmotionSpace.")
    families: dict[tuple[str | None, str], dict[object, EmotionSpace]] = {}
    for key, space in keyed.items():
        if space.layer is None and isinstance(spaces, Mapping) and isinstance(key, (int, np.integer)):
            space = replace(space, layer=int(key))
        elif space.site is None and isinstance(key, Site):
            space = replace(space, site=key)
        families.setdefault((space.language, space.kind), {})[key] = space
    alignments: dict[object, Alignment] = {}
    for (language, _), family in families.items():
        members = list(family.values())
        ratings = _of_language(norms, language, "norms")
        settings, human = _human(members, ratings, coordinates, n_permutations, seed, chosen)
        orders = permutations(len(human.emotions), n_permutations, seed)
        aligned = _group(members, human, orders, settings, [halves.get(key) for key in family])
        aligned = _beside(members, aligned, chosen.text, human, orders, settings)
        alignments |= dict(zip(family, aligned, strict=True))
    return LayerAlignments(tuple(alignments[key] for key in keyed))


def _beside(
    spaces: Sequence[EmotionSpace],
    aligned: Sequence[Alignment],
    text: EmotionSpace | Mapping[str, EmotionSpace] | None,
    human: HumanCoordinates,
    orders: np.ndarray,
    settings: _Settings,
) -> list[Alignment]:
    def fit(space: EmotionSpace) -> Alignment:
        return _group([space], human, orders, settings, [None])[0]

    samples = settings.n_permutations, settings.n_bootstrap, settings.seed
    return beside_texts(spaces, aligned, text, human, fit, *samples)


def _of_language(value: object, language: str | None, required: str = "") -> Any:
    """One language's part of a mapping language -> value; other values belong to every language."""
    if not isinstance(value, Mapping) or (not required and not any(isinstance(v, Mapping) for v in value.values())):
        return value
    if language not in value and required:
        raise UnknownNameError(f"language of the {required}", language, value)
    return value.get(language)


def _human(
    spaces: Sequence[EmotionSpace],
    norms: object,
    coordinates: str,
    n_permutations: int,
    seed: int,
    chosen: AlignOptions,
) -> tuple[_Settings, HumanCoordinates]:
    emotions = spaces[0].emotions
    for space in spaces[1:]:
        if set(space.emotions) != set(emotions):
            odd = ", ".join(sorted(set(space.emotions) ^ set(emotions)))
            raise EmotionInterpError(f"layers compared with each other need the same emotions; not in all: {odd}.")
    language = spaces[0].language
    table = as_norms(norms, language)
    sizes = n_permutations, chosen.n_bootstrap, chosen.n_components, chosen.ridge
    labels, words = (_of_language(value, language) for value in (chosen.labels, chosen.words))
    return _Settings(table.name, coordinates, *sizes, seed), human_coordinates(
        emotions, table, coordinates, labels, words
    )


def _group(
    spaces: Sequence[EmotionSpace],
    human: HumanCoordinates,
    orders: np.ndarray,
    settings: _Settings,
    halves: Sequence[Halves | None],
) -> list[Alignment]:
    """Align spaces that share emotions and permutations, and correct their PC scans over one another."""
    spaces = [space.subset(human.emotions) for space in spaces]
    models = np.stack([rsa.model_dissimilarity(space) for space in spaces])
    distances = rsa.human_dissimilarity(human.z)
    mantel = rsa.mantel_null(models, distances, orders)
    agreement = rsa.rating_agreement(human, settings.seed)
    ratings = np.column_stack([c for c in (human.valence, human.arousal) if c is not None])
    alignments, nulls = [], []
    for place, (space, half) in enumerate(zip(spaces, halves, strict=True)):
        rho = rsa.spearman(models[place], distances)
        interval = rsa.emotion_interval(space, ratings) if settings.n_bootstrap else NO_INTERVAL
        similarity = rsa.RSAFit(rho, interval, permutation_p(rho, mantel[:, place]), agreement)
        alignment, null = _one(space, human, orders, settings, half, similarity)
        alignments.append(alignment)
        nulls.append(null)
    if len(spaces) == 1:
        return alignments
    largest = {name: np.max([null[name] for null in nulls], axis=0) for name in nulls[0]}
    return [_corrected(alignment, largest) for alignment in alignments]


def _corrected(alignment: Alignment, largest: Mapping[str, np.ndarray]) -> Alignment:
    fits = {}
    for name, null in largest.items():
        fit = getattr(alignment, name)
        observed = max(abs(r) for r in fit.r_by_pc)
        fits[name] = replace(fit, p_layers=permutation_p(observed, null))
    return replace(alignment, **fits)


def _one(
    space: EmotionSpace,
    human: HumanCoordinates,
    orders: np.ndarray,
    settings: _Settings,
    halves: Halves | None,
    similarity: rsa.RSAFit,
) -> tuple[Alignment, dict[str, np.ndarray]]:
    components = principal_components(space, settings.n_components)
    if halves is not None:
        halves = (halves[0].subset(human.emotions), halves[1].subset(human.emotions))
    targets = {"valence": human.valence} | ({} if human.arousal is None else {"arousal": human.arousal})
    first, second = halves if halves is not None else (space, None)
    resampled = resampled_components(
        first, components.scores.shape[1], settings.n_bootstrap, settings.seed, read=second
    )
    fits, nulls = {}, {}
    for name, target in targets.items():
        fits[name], nulls[name] = scan(components, target, orders, resampled=resampled, halves=halves)
    over_words = _over_words(space, human, targets, fits, settings)
    for name in fits:
        fits[name] = replace(fits[name], ci_words=getattr(over_words, name))
    similarity = replace(similarity, ci_words=over_words.rsa)
    operator = leave_one_out_operator(space, settings.ridge)
    plane = None if human.arousal is None else _plane(components)
    procrustes = circumplex = None
    if plane is not None:
        first, second = unit_configuration(plane), unit_configuration(human.z)
        products = cross_products(first, second, np.arange(len(plane))[None])
        null_products = cross_products(first, second, orders)
        procrustes = procrustes_fit(products, null_products)
        circumplex = circumplex_fit(plane, human.z, orders, products, null_products)
    alignment = Alignment(
        layer=space.layer,
        site=space.site,
        language=space.language,
        kind=space.kind,
        norms=settings.norms,
        coordinates=settings.coordinates,
        valence=fits["valence"],
        arousal=fits.get("arousal"),
        rsa=similarity,
        procrustes=procrustes,
        readout=readout_fit(operator, human.valence, human.arousal, orders),
        circumplex=circumplex,
        points=_points(human, plane, operator),
        unmatched=human.unmatched,
        n_emotions=len(human.emotions),
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
    return alignment, nulls


def _over_words(
    space: EmotionSpace,
    human: HumanCoordinates,
    targets: dict[str, np.ndarray],
    fits: Mapping[str, ComponentFit],
    settings: _Settings,
) -> WordIntervals:
    # with halves r comes from half of the words, and the units are all of them
    picked = {name: fit.pc - 1 for name, fit in fits.items() if not fit.heldout}
    distances = rsa.human_dissimilarity(human.z)
    return word_intervals(space, targets, picked, distances, settings.n_components, settings.n_bootstrap, settings.seed)


def _plane(components: Components) -> np.ndarray:
    """PCs 1-2; a space of one dimension gets an empty second axis."""
    scores = components.scores[:, :2]
    return scores if scores.shape[1] == 2 else np.column_stack([scores, np.zeros(len(scores))])


def _points(human: HumanCoordinates, plane: np.ndarray | None, operator: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({"emotion": human.emotions, "word": human.words, "valence": human.z[:, 0]})
    if human.arousal is not None and plane is not None:
        frame["arousal"] = human.z[:, 1]
        frame[["x", "y"]] = fitted_points(plane, human.z)
    frame["readout_valence"] = operator @ human.valence
    if human.arousal is not None:
        frame["readout_arousal"] = operator @ human.arousal
    return frame
