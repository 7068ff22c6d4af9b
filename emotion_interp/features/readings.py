"""Reading emotions in running text: read-outs trained on labelled texts, or made from a bank of words alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.concepts.neutral import neutral_texts
from emotion_interp.concepts.scenes import SCENE_LANGUAGES, scene_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.features.examples import bank_texts
from emotion_interp.features.genres import GENRES, TEXTS, genre_of
from emotion_interp.features.readout import (
    FOLDS,
    KINDS,
    Readout,
    feature_sets,
    fitted_on_texts,
    fitted_on_word_features,
    fitted_on_word_vectors,
    top_shares,
    unmeasured,
)
from emotion_interp.features.text_states import TextStates, logged, text_states
from emotion_interp.figures import series_curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects import Subject

LEAST_TEXTS = 5
"""An emotion with fewer texts has no read-out."""
LEAST_RATE = 0.02
"""A feature that fires on fewer of the texts is in no set."""
TABLE = "readings"


@dataclass(frozen=True, eq=False, repr=False)
class EmotionReadings(Result):
    """Read-outs of emotions at every site and language, as rows of the bank's table "readings"; see `train_readings`."""

    frame: pd.DataFrame

    COLUMNS = ("layer", "site", "language", "kind", "emotion", "source", "top1", "top3", "chance", "n_texts")
    TABLE = TABLE

    def add_to(self, bank: FeatureBank) -> FeatureBank:
        """The bank with these read-outs; those that it had of the same sites, languages and kinds go."""
        held = bank.extras.get(TABLE)
        if held is None:
            return bank.with_table(TABLE, self.frame)
        keys = ["site", "language", "kind"]
        new = set(self.frame[keys].itertuples(index=False, name=None))
        others = held[[row not in new for row in held[keys].itertuples(index=False, name=None)]]
        return bank.with_table(TABLE, pd.concat([others, self.frame], ignore_index=True))

    def by_layer(self) -> pd.DataFrame:
        """Per layer, site, language and kind: how often the emotion of a text that was not read in training came first."""
        keys = ["layer", "site", "language", "kind", "source"]
        return self.frame.groupby(keys)[["top1", "top3", "chance", "n_texts"]].first().reset_index()

    def plot(self) -> go.Figure:
        """The share of texts read rightly over the layers, chance beside it."""
        rows = self.by_layer()
        chance = rows.drop_duplicates(["layer", "site", "language"]).assign(kind="chance", top1=lambda r: r["chance"])
        texts = {"title": "Texts whose emotion is read first", "y_title": "share of texts"}
        return series_curves(pd.concat([rows, chance]), "top1", ("kind", "language"), **texts)


@checked
def train_readings(
    subject: Subject,
    bank: FeatureBank,
    stimuli: str | Sequence[Stimulus] = "scenes",
    *,
    layers: Iterable[int | Site | str] | None = None,
    k: int = 16,
    seed: int = 0,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> EmotionReadings:
    """Train read-outs of the bank's emotions on labelled texts, for `emotion_trace`.

    At each site and in each language two linear discriminants (equal priors, correlations shrunk by .9) on the mean over
    a text's tokens: "dense" on the stream, "features" on log(1 + activation) of the features that are among the k with
    the best AUROC for some emotion. Both are linear in the tokens, so that they read single tokens too. `top1` and `top3`
    come from eight folds that share no group, the sets of features chosen anew in each. Values are in units of the
    spread of neutral tokens; what neutral text reaches is kept beside them.

    Args:
        subject: the bank's subject.
        bank: names the emotions, sites and languages.
        stimuli: "scenes" (the shipped ones, where a language of the bank has them), or labelled texts
            (`labelled_stimuli`, `corpus_stimuli`); texts of other emotions and languages are left out.
        layers: default: all of the bank.
        k: features an emotion.
        seed: of the folds.
        options: how the passes are made; whole texts are read.
        **choices: fields of `ReadOptions`, by keyword.

    Raises:
        EmotionInterpError: a bank of another subject, or too few texts of the bank's emotions and languages.
        UnknownNameError: another kind of stimuli, or a layer that the bank lacks.

    Example:
        >>> bank = ei.train_readings(subject, bank, "scenes").add_to(bank)  # doctest: +SKIP
        >>> ei.emotion_trace(subject, "She opened the letter and began to weep", bank)  # doctest: +SKIP
    """
    require_same_subject(bank, subject)
    passes = merged(ReadOptions, options, choices)
    sites = bank.sites if layers is None else list(dict.fromkeys(bank.site(layer) for layer in layers))
    shown, source = _given(bank, stimuli)
    scales = {site: bank.scales[site] for site in sites}
    reading: dict[str, Any] = {"batch_tokens": passes.batch_tokens, "progress": passes.progress}
    found: list[Readout] = []
    for language in bank.languages:
        texts = [s for s in shown if s.language == language]
        emotions, codes, groups = _classes(bank, texts)
        if len(emotions) < 2:
            continue
        kept = [s.text for s in texts if s.emotion in emotions]
        states = text_states(subject, kept, scales, **reading)
        neutral = _neutral(subject, bank, language, scales, **reading)
        fold = _folds(codes, groups, seed)
        for site in sites:
            for kind in KINDS:
                tokens, whole = neutral
                found.append(
                    _trained(
                        site, language, kind, source, emotions, states[site], codes, fold, k, tokens[site], whole[site]
                    )
                )
    if not found:
        raise EmotionInterpError(
            f"no two emotions of the bank have {LEAST_TEXTS} texts in one of its languages ({', '.join(bank.languages)}); "
            f"got {len(shown)} texts of {', '.join(sorted({s.emotion for s in shown})[:8])}."
        )
    return EmotionReadings(_rows(found))


def _given(bank: FeatureBank, stimuli: str | Sequence[Stimulus]) -> tuple[list[Stimulus], str]:
    if isinstance(stimuli, str):
        if stimuli != "scenes":
            raise UnknownNameError("kind of labelled texts", stimuli, ("scenes",))
        languages = [x for x in bank.languages if x in SCENE_LANGUAGES]
        shipped = {s.emotion for s in scene_stimuli(["en"])}
        return scene_stimuli(languages, [e for e in bank.emotions if e in shipped]), "scenes"
    names = {s.group.rpartition(" ")[0] for s in stimuli}
    known = {GENRES["stories"] if name == "topic" else GENRES.get(name, TEXTS) for name in names}
    return list(stimuli), known.pop() if len(known) == 1 else TEXTS


def _classes(bank: FeatureBank, texts: Sequence[Stimulus]) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """The emotions with enough texts, the emotion of each text that has one of them, and its group."""
    counts = pd.Series([s.emotion for s in texts], dtype=object).value_counts()
    emotions = tuple(e for e in bank.emotions if counts.get(e, 0) >= LEAST_TEXTS)
    kept = [s for s in texts if s.emotion in emotions]
    return emotions, np.asarray([emotions.index(s.emotion) for s in kept], dtype=int), [s.group for s in kept]


def _folds(codes: np.ndarray, groups: Sequence[str], seed: int) -> np.ndarray:
    """Fold of each text; a group is in one fold, and each emotion is spread evenly."""
    place: dict[str, int] = {}
    names = np.asarray(groups, dtype=object)
    for c in np.unique(codes):
        fresh = sorted(set(names[codes == c]) - set(place))
        order = generator(seed, "reading folds", int(c)).permutation(len(fresh))
        place.update({fresh[index]: int(position) % FOLDS for position, index in enumerate(order)})
    return np.asarray([place[g] for g in groups])


def _trained(
    site: Site,
    language: str,
    kind: str,
    source: str,
    emotions: tuple[str, ...],
    states: TextStates,
    codes: np.ndarray,
    fold: np.ndarray,
    k: int,
    tokens: TextStates,
    whole: TextStates,
) -> Readout:
    def fit(chosen: np.ndarray) -> Readout:
        features = np.zeros(0, dtype=int)
        if kind == "features":
            fires = np.asarray((states.latents[chosen] > 0).mean(0)).ravel()
            alive = np.flatnonzero(fires >= min(LEAST_RATE, fires.max()))
            columns = states.latents[chosen][:, alive].toarray()
            sets = feature_sets(columns, codes[chosen], len(emotions), k)
            features = np.unique(alive[np.concatenate(sets)])
        parts = [s.dense if kind == "dense" else s.latents[:, features].toarray() for s in (states, tokens)]
        weights, bias = fitted_on_texts(parts[0][chosen], codes[chosen], len(emotions), parts[1])
        made = {"features": features, "weights": weights, "bias": bias}
        return unmeasured(site, language, kind, source, emotions, **made)

    held = np.full((len(codes), len(emotions)), np.nan)
    for number in range(FOLDS):
        test = fold == number
        if test.any() and len(np.unique(codes[~test])) == len(emotions):
            held[test] = fit(~test).values(states.dense[test], states.latents[test])
    tried = np.isfinite(held).all(1)
    top1, top3 = top_shares(held[tried], codes[tried]) if tried.any() else (float("nan"),) * 2
    final = fit(np.ones(len(codes), dtype=bool))
    final = final.measured(final.values(tokens.dense, tokens.latents), final.values(whole.dense, whole.latents))
    return replace(final, top1=top1, top3=top3, n_texts=len(codes))


def _neutral(
    subject: Subject, bank: FeatureBank, language: str, scales: dict[Site, float], **reading: Any
) -> tuple[dict[Site, TextStates], dict[Site, TextStates]]:
    """Tokens and whole texts of neutral text in a language: shipped texts, else the bank's neutral words in carriers."""
    texts = neutral_texts(language)
    if not texts and bank.manifest.get("stimuli", "words") == "words":
        texts = [s.text for s in bank_texts(bank) if s.language == language and s.emotion == NEUTRAL]
    # a language without any neutral text is measured against the English ones
    texts = texts or neutral_texts("en")
    return (
        text_states(subject, texts, scales, tokens=True, **reading),
        text_states(subject, texts, scales, **reading),
    )


def _from_bank(subject: Subject, bank: FeatureBank, sites: Sequence[Site], language: str) -> list[Readout]:
    """Read-outs from what a bank holds: its directions, and the activations of its features on its units."""
    scales = {site: bank.scales[site] for site in sites}
    tokens, whole = _neutral(subject, bank, language, scales)
    emotions = tuple(bank.emotions)
    index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
    made = []
    for site in sites:
        for kind in KINDS:
            features = np.zeros(0, dtype=int)
            if kind == "dense":
                method = "means" if (site, language, "means") in bank.directions else "dense"
                vectors = bank.directions[site, language, method] / bank.scales[site]
                weights, bias = fitted_on_word_vectors(vectors, tokens[site].dense)
            else:
                units, activations = bank.unit_activations(site, language)
                features = np.unique(activations.indices)
                # an emotion without a unit in this language has no read-out of its own and reads 0
                codes = units["emotion"].map(index).to_numpy()
                there = np.unique(codes)
                states = logged(activations[:, features].toarray())
                place = np.searchsorted(there, codes)
                n_emotions = int((there < len(emotions)).sum())
                background = tokens[site].latents[:, features].toarray()
                weights, bias = np.zeros((len(emotions), len(features))), np.zeros(len(emotions))
                if len(features):
                    fitted = fitted_on_word_features(states, place, len(there), n_emotions, background)
                    weights[there[:n_emotions]], bias[there[:n_emotions]] = fitted
            fit = {"features": features, "weights": weights, "bias": bias}
            readout = unmeasured(site, language, kind, genre_of(bank, language), emotions, **fit)
            values = [readout.values(s.dense, s.latents) for s in (tokens[site], whole[site])]
            made.append(readout.measured(*values))
    return made


_FROM_BANKS: WeakKeyDictionary[object, dict[tuple[Site, str, str], Readout]] = WeakKeyDictionary()
"""Read-outs made from a bank's words, so that the neutral texts are read once and not with each trace."""


def emotion_readouts(
    subject: Subject, bank: FeatureBank, sites: Sequence[Site], language: str
) -> dict[tuple[Site, str], Readout]:
    """The read-outs of some sites in a language, by site and kind: those that the bank keeps, else made from its words.

    Args:
        subject: the bank's subject; reads neutral texts where the bank keeps no read-outs.
        bank: with or without the table "readings".
        sites: of the bank.
        language: of the bank.
    """
    kept = {(r.site, r.language, r.kind): r for r in _read_rows(bank.extras.get(TABLE), sites, language)}
    missing = [s for s in sites if any((s, language, kind) not in kept for kind in KINDS)]
    made = _FROM_BANKS.setdefault(bank, {})
    if lacking := [s for s in missing if (s, language, KINDS[0]) not in made]:
        made.update({(r.site, r.language, r.kind): r for r in _from_bank(subject, bank, lacking, language)})
    both = made | kept
    return {(site, kind): both[site, language, kind] for site in sites for kind in KINDS}


def _rows(readouts: Iterable[Readout]) -> pd.DataFrame:
    rows = []
    for r in readouts:
        head = {"layer": r.site.layer, "site": str(r.site), "language": r.language, "kind": r.kind, "source": r.source}
        scores = {"top1": r.top1, "top3": r.top3, "chance": r.chance, "n_texts": r.n_texts}
        for i, emotion in enumerate(r.emotions):
            numbers = {
                "features": r.features.tolist(),
                "weights": r.weights[i].astype(np.float32),
                "bias": float(r.bias[i]),
                "token_quantiles": r.token_quantiles[i],
                "text_quantiles": r.text_quantiles[i],
            }
            rows.append(head | {"emotion": emotion} | numbers | scores)
    return pd.DataFrame(rows)


def _read_rows(frame: pd.DataFrame, sites: Sequence[Site], language: str) -> Iterable[Readout]:
    if frame is None:
        return
    chosen = frame[(frame["language"] == language) & frame["site"].isin(map(str, sites))]
    for (site, kind), rows in chosen.groupby(["site", "kind"], sort=False):
        first = rows.iloc[0]
        arrays = [np.stack([np.asarray(v, dtype=np.float64) for v in rows[c]]) for c in _ARRAYS]
        yield Readout(
            *(Site.parse(site), language, kind, str(first["source"]), tuple(rows["emotion"])),
            *(np.asarray(first["features"], dtype=int), arrays[0], rows["bias"].to_numpy(dtype=np.float64)),
            *arrays[1:],
            *(float(first["top1"]), float(first["top3"]), int(first["n_texts"])),
        )


_ARRAYS = ("weights", "token_quantiles", "text_quantiles")
