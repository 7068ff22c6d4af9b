"""One emotion of causal universality: what is put in place of its component, how the answer changes, and both nulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t

from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.experiments.causal_moves import (
    DirectionMoves,
    FeatureMoves,
    Latents,
    random_rows,
    random_sets,
)
from emotion_interp.experiments.causal_texts import ShownTexts, word_scores
from emotion_interp.judges.next_word import NextWords

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects.subject import Subject

FEATURES = "features"
"""The method that moves sets of SAE features; every other one names directions of the bank."""

MEASURES = ("share", "mass", "auroc")
"""Log share of the emotion's words among those of all emotions; log probability of its words; AUROC of the share."""

RESAMPLES = 2000

BLOCK, ENOUGH_BEYOND = 100, 10
"""Random sets at a time, and how many that go as far end the drawing: of a p that is not small no more is needed."""

LEAST_OTHERS = 3
"""Other emotions from which a spread is estimated."""


@dataclass(frozen=True, eq=False)
class CausalSetting:
    """All that the emotions of one pair share."""

    subject: Subject
    bank: FeatureBank
    site: Site
    first: str
    second: str
    method: str
    measure: str
    n_random: int
    k: int | None
    seed: int
    token_budget: int
    judge: NextWords
    shown: ShownTexts
    latents: Latents
    siblings: Mapping[str, Sequence[str]]

    def vector(self, emotion: str, language: str) -> np.ndarray | None:
        """The unit direction; None where the bank's row points nowhere."""
        row = np.asarray(self.bank.directions[self.site, language, self.method, emotion], dtype=np.float64)
        size = np.linalg.norm(row)
        return row / size if np.isfinite(size) and size > 0 else None

    def features(self, emotion: str, language: str) -> np.ndarray:
        """The emotion's features: selected, or the k best of the discovery half."""
        if self.k is None:
            return np.asarray(self.bank.selected_features(self.site, language, emotion), dtype=np.int64)
        table = self.bank.table(emotion, self.site, language)
        return np.unique(table["feature"].to_numpy(dtype=np.int64)[: self.k])


def _unanswered(
    setting: CausalSetting, emotion: str, features: Sequence[np.ndarray], n_texts: int
) -> dict[str, object]:
    """The row of an emotion before anything was asked."""
    row: dict[str, object] = {"first": setting.first, "second": setting.second, "emotion": emotion}
    row |= {"layer": setting.site.layer, "site": str(setting.site), "method": setting.method}
    row |= {"measure": setting.measure, "n_texts": n_texts}
    empty = ("own", "ablate", "swap", "effect", "effect_lo", "effect_hi", "recovered", "lo", "hi")
    row |= dict.fromkeys(empty, float("nan"))
    empty = ("others", "others_hi", "random", "random_hi", "p_others", "p_rank", "p_random", "p")
    row |= dict.fromkeys(empty, float("nan"))
    row |= {"n_others": 0, "n_random": 0, "cosine": float("nan")}
    row |= {"n_features_first": len(features[0]), "n_features_second": len(features[1])}
    return row | {"n_shared": len(np.intersect1d(features[0], features[1])), "size_ratio": float("nan"), "note": ""}


# Long: nothing is measured further once a part of it came to nothing.
def answers(setting: CausalSetting, emotion: str) -> dict[str, Any]:
    """The row of one emotion, what each other emotion recovered, and the draws of both nulls."""
    shown = setting.shown
    own_texts = shown.of(emotion)
    left_out = [emotion, *setting.siblings.get(emotion, ())]
    features = [setting.features(emotion, language) for language in (setting.first, setting.second)]
    row = _unanswered(setting, emotion, features, len(own_texts))
    result: dict[str, Any] = {"row": row, "exchanged": {}, "draws": {}}
    if not setting.judge.token_ids[emotion]:
        row["note"] = f"no word of {emotion!r} in {setting.second!r} is one token"
        return result
    swapping = _swapping(setting, emotion, features, left_out, own_texts)
    if isinstance(swapping, str):
        row["note"] = swapping
        return result
    moves, place = swapping, list(setting.judge.emotions).index(emotion)
    row |= {"cosine": moves.cosine, "size_ratio": moves.size_ratio}
    asked = own_texts
    if setting.measure == "auroc":
        others = np.flatnonzero(~np.isin(shown.labels, left_out))
        random = generator(setting.seed, "texts of others", setting.second, emotion)
        asked = np.concatenate([own_texts, np.sort(random.permutation(others)[: len(own_texts)])])
    is_own = np.arange(len(asked)) < len(own_texts)

    def scored(rows: Sequence[object]) -> np.ndarray:
        """[row, text]"""
        count = moves.moves.set_rows(rows)
        place_of = (setting.subject, setting.site, shown, asked)
        scores = word_scores(*place_of, count, moves.moves.delta, setting.judge, setting.token_budget)
        mass = scores[:, :, place]
        if setting.measure == "mass":
            return mass
        known = [i for i, e in enumerate(setting.judge.emotions) if setting.judge.token_ids[e]]
        return mass - np.logaddexp.reduce(scores[:, :, known], axis=2)

    variants = scored([moves.own, moves.nothing, moves.swap])
    values = statistics(variants, is_own, setting.measure)
    random = generator(setting.seed, "bootstrap over texts", len(asked))
    picks = _picks(random, is_own)
    if setting.measure == "auroc":
        resampled = np.stack([statistics(variants[:, p], is_own[p], setting.measure) for p in picks])
    else:
        resampled = variants[:, picks].mean(2).T
    effects = resampled[:, 0] - resampled[:, 1]
    effect = float(values[0] - values[1])
    low, high = np.percentile(effects, [2.5, 97.5])
    row |= dict(zip(("own", "ablate", "swap"), map(float, values), strict=True))
    row |= {"effect": effect, "effect_lo": float(low), "effect_hi": float(high)}
    if not low > 0:
        row["note"] = (
            "taking the component away changes nothing reliably: the interval of own - ablate reaches 0"
            if high >= 0
            else "taking the component away raises the score"
        )
        return result
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (resampled[:, 2] - resampled[:, 1]) / effects
    lo, hi = np.percentile(ratios[np.isfinite(ratios)], [2.5, 97.5])
    own = float((values[2] - values[1]) / effect)
    row |= {"recovered": own, "lo": float(lo), "hi": float(hi)}

    def recovered(rows: Sequence[object]) -> np.ndarray:
        return (statistics(scored(rows), is_own, setting.measure) - values[1]) / effect if len(rows) else np.zeros(0)

    compared, result["exchanged"], result["draws"] = _against_nulls(own, moves, emotion, left_out, recovered)
    row |= compared
    return result


def _against_nulls(
    own: float,
    moves: _Swapping,
    emotion: str,
    left_out: Sequence[str],
    recovered: Callable[[Sequence[object]], np.ndarray],
) -> tuple[dict[str, object], dict[str, float], dict[str, list[float]]]:
    """The columns of both nulls, what each emotion of the first language recovered, and the draws."""
    row: dict[str, object] = {"p_others": float("nan"), "p_random": float("nan")}
    names, drawn, sets = list(moves.singles), np.zeros(0), moves.random()
    # with the first block, so that each text's batches are full
    first_part, more = np.split(recovered([*moves.singles.values(), *sets[:BLOCK]]), [len(names)])
    exchanged = {emotion: own, **dict(zip(names, map(float, first_part), strict=True))}
    others = first_part[[n not in left_out for n in names]]
    while len(more):
        drawn = np.append(drawn, more)
        enough = (drawn >= own).sum() >= ENOUGH_BEYOND
        more = recovered([] if enough else sets[len(drawn) : len(drawn) + BLOCK])
    draws = {"others": others, "random": drawn}
    for name, null in draws.items():
        if len(null):
            row |= {
                name: float(np.median(null)),
                f"{name}_hi": float(np.percentile(null, 97.5)),
                f"n_{name}": len(null),
            }
    if len(others):
        row["p_rank"] = share_beyond(own, others)
    p_others = beyond_others(own, others)
    p_random = share_beyond(own, drawn) if len(drawn) else float("nan")
    row |= {"p_others": p_others, "p_random": p_random}
    if len(others) < LEAST_OTHERS or not len(drawn):
        what = "random features" if len(others) >= LEAST_OTHERS else f"at least {LEAST_OTHERS} other emotions"
        row["note"] = f"there is no p: {what} are needed to compare with"
    # intersection-union: beyond both, or not at all
    row["p"] = float(np.maximum(p_others, p_random))
    return row, exchanged, {name: list(map(float, null)) for name, null in draws.items()}


@dataclass(frozen=True, eq=False)
class _Swapping:
    """What one emotion's rows are: as they are, without, swapped, and the nulls."""

    moves: Any
    own: object
    nothing: object
    swap: object
    singles: Mapping[str, object]
    random: Callable[[], list[object]]
    cosine: float
    size_ratio: float


def _swapping(
    setting: CausalSetting, emotion: str, features: Sequence[np.ndarray], left_out: Sequence[str], texts: np.ndarray
) -> _Swapping | str:
    """The rows of one emotion, or why there are none."""
    names = [e for e in setting.bank.emotions if e != emotion]
    count = setting.n_random
    if setting.method != FEATURES:
        vectors = [setting.vector(emotion, language) for language in (setting.first, setting.second)]
        for vector, language in zip(vectors, (setting.first, setting.second), strict=True):
            if vector is None:
                return f"the {setting.method!r} direction in {language!r} points nowhere"
        put_in, own_features = vectors
        assert put_in is not None and own_features is not None
        singles = {e: v for e in names if (v := setting.vector(e, setting.first)) is not None}
        moves = DirectionMoves(setting.shown, own_features, left_out)

        def drawn() -> list[object]:
            return list(random_rows(setting.latents, features[0], features[1], count, setting.seed, setting.site))

        return _Swapping(
            moves, own_features, np.zeros_like(own_features), put_in, singles, drawn, float(own_features @ put_in), 1.0
        )
    for ids, language in zip(features, (setting.first, setting.second), strict=True):
        if not len(ids):
            return f"no feature is selected in {language!r}"
    put_in, own_features = features
    moves = FeatureMoves(setting.shown, setting.latents, own_features, left_out)
    sizes = [moves.size(ids, texts) for ids in features]
    for size, language in zip(sizes, (setting.first, setting.second), strict=True):
        if not size > 0:
            return f"no feature of {language!r} fires on the texts"

    def scaled(ids: np.ndarray) -> tuple[np.ndarray, float] | None:
        size = moves.size(ids, texts)
        return (ids, sizes[0] / size) if size > 0 else None

    sets = {e: setting.features(e, setting.first) for e in names}
    singles = {e: move for e, ids in sets.items() if len(ids) and (move := scaled(ids)) is not None}

    def drawn_sets() -> list[object]:
        random = random_sets(setting.latents, put_in, own_features, count, setting.seed)
        return [move for ids in random if (move := scaled(ids)) is not None]

    return _Swapping(
        moves,
        (own_features, 1.0),
        (own_features[:0], 1.0),
        (put_in, 1.0),
        singles,
        drawn_sets,
        moves.cosine(put_in, own_features, texts),
        sizes[0] / sizes[1],
    )


def statistics(scores: np.ndarray, is_own: np.ndarray, measure: str) -> np.ndarray:
    """Mean over the emotion's texts, or AUROC of its texts against the others, of each row: [row, text] -> [row]."""
    on_target, others = scores[:, is_own], scores[:, ~is_own]
    if measure != "auroc":
        return on_target.mean(1)
    gaps = on_target[:, :, None] - others[:, None, :]
    return ((gaps > 0) + 0.5 * (gaps == 0)).mean((1, 2))


def share_beyond(value: float, drawn: np.ndarray) -> float:
    """One-sided p of a value among random draws: (1 + draws at least as large) / (draws + 1)."""
    return float((1 + (drawn >= value).sum()) / (len(drawn) + 1))


def beyond_others(value: float, others: np.ndarray) -> float:
    """One-sided p of a value among other emotions': t of one more draw from a normal distribution with their mean and spread.

    Two dozen emotions cannot rank one of them below .04, which Holm over several cannot pass. NaN for fewer than three.
    """
    if len(others) < LEAST_OTHERS:
        return float("nan")
    spread = others.std(ddof=1) * np.sqrt(1 + 1 / len(others))
    return float(t.sf((value - others.mean()) / max(spread, 1e-12), len(others) - 1))


def _picks(random: np.random.Generator, is_own: np.ndarray) -> np.ndarray:
    """Resampled texts, the emotion's and the others' apart: [resample, text]."""
    parts = []
    for mask in (is_own, ~is_own):
        places = np.flatnonzero(mask)
        if len(places):
            parts.append(places[random.integers(0, len(places), size=(RESAMPLES, len(places)))])
    return np.concatenate(parts, axis=1)
