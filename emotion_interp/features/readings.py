"""Reading emotions in running text: read-outs trained on labelled texts, or made from a bank of words alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from emotion_interp.features.genres import GENRES, TEXTS
from emotion_interp.features.readout import FOLDS, KINDS, Readout
from emotion_interp.features.readout_fits import Examples, Plan, from_bank, measured_together, trained
from emotion_interp.features.text_states import TextStates, text_states
from emotion_interp.figures import series_curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects import Subject

LEAST_TEXTS = 5
"""An emotion with fewer texts has no read-out."""
K = 16
"""Features an emotion."""
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
    k: int = K,
    seed: int = 0,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> EmotionReadings:
    """Train read-outs of the bank's emotions on labelled texts, for `emotion_trace`.

    At each site and in each language linear discriminants (equal priors, shrunk correlations) on the mean over a text's
    tokens: "dense" on the stream; "features" the mean of two scores. One is on log(1 + activation) of the features that are
    among the k with the best AUROC for some emotion, beside what these write together (the sum of their unit decoder rows
    by the same activations), so that features that write alike share a weight; the other on what those features write
    that are among the k whose decoder rows lie most along some emotion's weights of "dense". A feature that fires on fewer
    than 2% of the texts is in neither. All are linear in the tokens, so that they read single tokens too. A bank found on words adds its discovery words in two carriers, which count as much as the texts.
    `top1` and `top3` are of the labelled texts, from eight folds that share no group, the sets of features chosen anew
    in each. Values are in units of the spread of neutral tokens; what neutral text reaches is kept beside them. A
    language without labelled texts is trained on those of the others (and on its own words), and has no `top1`.

    Args:
        subject: the bank's subject.
        bank: names the emotions, sites and languages.
        stimuli: "scenes" (the shipped ones, where a language of the bank has them), or labelled texts
            (`labelled_stimuli`, `corpus_stimuli`); texts of other emotions and languages are left out.
        layers: default: all of the bank.
        k: features an emotion, of each of the two scores.
        seed: of the folds.
        options: how the passes are made; whole texts are read.
        **choices: fields of `ReadOptions`, by keyword.

    Raises:
        EmotionInterpError: a bank of another subject, or too few texts of the bank's emotions and languages.
        UnknownNameError: another kind of stimuli, a position other than "text", or a layer that the bank lacks.

    Example:
        >>> bank = ei.train_readings(subject, bank, "scenes").add_to(bank)  # doctest: +SKIP
        >>> ei.emotion_trace(subject, "She opened the letter and began to weep", bank)  # doctest: +SKIP
    """
    passes = merged(ReadOptions, options, choices)
    if passes.position not in (None, "text"):
        raise UnknownNameError("position", passes.position, ("text",))
    if passes.skip:
        raise EmotionInterpError(f"train_readings: skip is 0, whole texts are read; got {passes.skip}.")
    require_same_subject(bank, subject)
    sites = bank.sites if layers is None else list(dict.fromkeys(bank.site(layer) for layer in layers))
    shown, source = _given(bank, stimuli)
    scales = {site: bank.scales[site] for site in sites}
    reading: dict[str, Any] = {"batch_tokens": passes.batch_tokens, "progress": passes.progress}
    spoken = {s.language for s in shown}
    found: list[Readout] = []
    for language in bank.languages:
        # a language without labelled texts learns from those of the others
        texts = [s for s in shown if s.language == language] or shown
        emotions, codes, groups = _classes(bank, texts)
        if len(emotions) < 2:
            continue
        kept = [s.text for s in texts if s.emotion in emotions]
        states = text_states(subject, kept, scales, **reading)
        words, word_codes = shown_words(bank, language, emotions)
        word_states = text_states(subject, words, scales, **reading) if words else None
        neutral = neutral_states(subject, bank, language, scales, **reading)
        fold = _folds(codes, groups, seed) if language in spoken else None
        parts = [source, *(["words"] if words else [])]
        for kind in KINDS:
            made = []
            for site in sites:
                more = None if word_states is None else Examples(word_states[site], word_codes)
                plan = Plan(site, language, kind, " and ".join(parts), emotions, k, decoder_rows_at(subject, site))
                made.append(trained(plan, Examples(states[site], codes), fold, neutral[site], more))
            found += measured_together(made, neutral)
    if not found:
        raise EmotionInterpError(
            f"no two emotions of the bank have {LEAST_TEXTS} texts in one of its languages ({', '.join(bank.languages)}); "
            f"got {len(shown)} texts of {', '.join(sorted({s.emotion for s in shown})[:8])}."
        )
    return EmotionReadings(_rows(found))


def decoder_rows_at(subject: Subject, site: Site) -> Callable[[np.ndarray], np.ndarray]:
    """Decoder rows of the SAE at a site by feature ids, [feature, d_model], as `Plan` asks for them."""
    return lambda features: subject.readers[site].decoder_rows(features).float().cpu().numpy()


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


def shown_words(bank: FeatureBank, language: str, emotions: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The discovery words of a bank in two carriers each, and the emotion of each text; none of a bank found on texts.

    They are what short and plain sentences look like, which scenes and stories are not. The words that the bank holds
    out stay unseen.
    """
    if bank.manifest.get("stimuli", "words") != "words":
        return [], np.zeros(0, dtype=int)
    found = bank.words[(bank.words["language"] == language) & (bank.words["side"] == "discovery")]
    seen = set(zip(found["emotion"], found["word"], strict=True))
    carriers = {s.template: s.text.replace(s.word, "{word}", 1) for s in bank_texts(bank) if s.language == language}
    chosen = list(carriers.values())[:2]
    pairs = [(e, w) for e, w in sorted(seen) if e in emotions]
    texts = [carrier.replace("{word}", word) for _, word in pairs for carrier in chosen]
    return texts, np.repeat([list(emotions).index(e) for e, _ in pairs], len(chosen)).astype(int)


def neutral_states(
    subject: Subject, bank: FeatureBank, language: str, scales: dict[Site, float], **reading: Any
) -> dict[Site, TextStates]:
    """Tokens of neutral text in a language: the shipped texts, else the bank's neutral words in carriers."""
    texts = neutral_texts(language)
    if not texts and bank.manifest.get("stimuli", "words") == "words":
        texts = [s.text for s in bank_texts(bank) if s.language == language and s.emotion == NEUTRAL]
    # a language without any neutral text is measured against the English ones
    return text_states(subject, texts or neutral_texts("en"), scales, tokens=True, **reading)


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
        neutral = neutral_states(subject, bank, language, {site: bank.scales[site] for site in lacking})
        words = tuple(bank.emotions)
        plans = [Plan(s, language, "", "", words, K, decoder_rows_at(subject, s)) for s in lacking]
        fresh = [r for plan in plans for r in from_bank(bank, plan, neutral[plan.site])]
        together = [measured_together([r for r in fresh if r.kind == kind], neutral) for kind in KINDS]
        made.update({(r.site, language, r.kind): r for readouts in together for r in readouts})
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
                "levels": r.levels,
                "mean_levels": r.mean_levels,
            }
            rows.append(head | {"emotion": emotion} | numbers | scores)
    return pd.DataFrame(rows)


def _read_rows(frame: pd.DataFrame | None, sites: Sequence[Site], language: str) -> Iterable[Readout]:
    if frame is None:
        return
    chosen = frame[(frame["language"] == language) & frame["site"].isin(map(str, sites))]
    for (site, kind), rows in chosen.groupby(["site", "kind"], sort=False):
        first = rows.iloc[0]
        weights = np.stack([np.asarray(row, dtype=np.float64) for row in rows["weights"]])
        levels, mean_levels = (np.asarray(first[c], dtype=np.float64) for c in ("levels", "mean_levels"))
        yield Readout(
            *(Site.parse(site), language, kind, str(first["source"]), tuple(rows["emotion"])),
            *(np.asarray(first["features"], dtype=int), weights, rows["bias"].to_numpy(dtype=np.float64)),
            *(levels, mean_levels),
            *(float(first["top1"]), float(first["top3"]), int(first["n_texts"])),
        )
