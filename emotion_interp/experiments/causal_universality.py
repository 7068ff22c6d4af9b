"""Does one language's emotion feature do in another language's text what that language's own does?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from emotion_interp.core.arguments import checked, checked_methods
from emotion_interp.core.errors import FileFormatError, tell
from emotion_interp.core.files import atomic_file, sha256_of
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Stimulus
from emotion_interp.experiments.causal_answers import FEATURES, CausalSetting, answers, share_beyond
from emotion_interp.experiments.causal_options import CausalChoices, CausalOptions, causal_setting
from emotion_interp.experiments.corrections import needed_directions
from emotion_interp.figures import interval_rows
from emotion_interp.stats.corrections import holm

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects.subject import Subject

PERMUTATIONS = 9999


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class CausalUniversality(Result):
    """How much of an emotion's effect in one language comes back when another language's feature stands in its place.

    frame: one row per emotion; exchanges: recovered by every other emotion of the first language as well, one row for each
    emotion of the text and each emotion put in; draws: emotion -> null -> recovered by each draw.
    """

    first: str
    second: str
    frame: pd.DataFrame
    exchanges: pd.DataFrame
    draws: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    seed: int = 0

    COLUMNS = ("emotion", "own", "ablate", "swap", "recovered", "lo", "hi", "p", "p_holm", "cosine", "note")

    def matrix(self) -> pd.DataFrame:
        """Recovered, by emotion of the text (rows) and emotion of the first language put in (columns)."""
        return self.exchanges.pivot(index="emotion", columns="put_in", values="recovered")

    def by_layer(self) -> pd.DataFrame:
        """One row: all emotions in one test.

        n_emotions, n_reliable (own effect beyond 0), n_passed (p_holm < .05), recovered (median over the reliable);
        z: mean standardised place of an emotion's own among all that were put in; p_exchange: emotions of the first
        language exchanged at random among the reliable ones, from four of them on.
        """
        frame = self.frame
        reliable = rows_where(frame, frame["recovered"].notna())
        z, p = exchange_test(self.exchanges, reliable["emotion"].tolist(), self.seed)
        row = {c: frame[c].iloc[0] for c in ("first", "second", "layer", "site", "method")}
        row |= {"n_emotions": len(frame), "n_reliable": len(reliable), "n_passed": int((frame["p_holm"] < 0.05).sum())}
        row |= {"recovered": float(reliable["recovered"].median()), "z": z, "p_exchange": p}
        return pd.DataFrame([row])

    def __repr__(self) -> str:
        frame = self.frame
        reliable, passed = int(frame["recovered"].notna().sum()), int((frame["p_holm"] < 0.05).sum())
        return (
            f"CausalUniversality({self.first!r} in {self.second!r} texts, {len(self.frame)} emotions, {reliable} with an "
            f"effect of their own, {passed} beyond both nulls)"
        )

    def plot(self) -> go.Figure:
        """What comes back of each emotion's effect, with its interval."""
        rows = self.frame.dropna(subset=["recovered"]).assign(series=f"{self.first} in {self.second}")
        rows = rows.rename(columns={"emotion": "name", "recovered": "value"})
        return interval_rows(rows, title="Causal universality", x_title="recovered share of the effect")


@checked
def causal_universality(
    subject: Subject,
    bank: FeatureBank,
    texts: Sequence[Stimulus] | Mapping[str, object],
    first: str,
    second: str,
    emotions: Sequence[str] | None = None,
    *,
    options: CausalOptions | None = None,
    **choices: Unpack[CausalChoices],
) -> CausalUniversality:
    """The first language's direction or features put in the place of the second's, in texts of the second.

    In a forward pass over labelled texts of the second language, each followed by a question in that language, the stream
    is left alone (own), its component along the second language's direction is set to the mean of texts without the emotion
    (ablate), or that component is written along the first language's direction instead, with the same signed size (swap).
    Of feature sets: what the second language's set adds beyond its mean is taken away, and what the first's set adds on the
    same text is written. The subject's next word judges: it answers in the text's language, by words that no direction saw.

        recovered = (swap - ablate) / (own - ablate)

    only where own - ablate is reliable: its interval over texts is above 0. Two nulls, each of the same size as the swap:
    "others", the directions (sets) that the first language has for all other emotions but siblings: p is that of one more
    draw from a normal distribution with their mean and spread (t), since the rank among two dozen is never small enough
    for Holm (it stands beside it); "random", features that fire as often as the first language's do on these texts:
    p = (b + 1) / (m + 1), and drawing ends after a hundred, two hundred, ... once ten have gone as far (sequential Monte
    Carlo, Besag & Clifford 1991). p of an emotion is the larger of both (intersection-union); Holm over the emotions.
    Directions that point alike recover much by geometry alone, so their cosine stands beside it.

    Args:
        subject: the bank's subject, with its SAEs.
        bank: a `FeatureBank` of both languages.
        texts: stimuli (`corpus_stimuli`, or words in carriers: `concept_set(second).stimuli()`); those of the second
            language are used. Or language -> emotion -> texts.
        first: the language that is put in.
        second: the language of the texts.
        emotions: default: all of the bank with at least four texts.
        options: what is put in, the judging and the nulls; or its fields by keyword.
        **choices: fields of `CausalOptions`, by keyword.

    Returns:
        one row per emotion: first, second, emotion, layer, site, method, measure; n_texts; own, ablate, swap; effect = own -
        ablate with effect_lo, effect_hi; recovered with lo, hi (95% percentile bootstrap over texts; NaN without a reliable
        effect); others, others_hi, random, random_hi (median and 97.5% of recovered under the nulls); p_others, n_others,
        p_rank (rank among the others: (b + 1) / (n_others + 1)); p_random, n_random (drawn); p, p_holm; cosine (of sets: of
        what they write); n_features_first, n_features_second, n_shared; size_ratio (norm that the swap writes over what
        the ablation takes away); note: why there is no figure.

    Raises:
        EmotionInterpError: the same language twice, a bank of another subject, no or too few texts of an emotion that was
            named, texts in another language, no question in it.
        UnknownNameError: a language, layer, emotion, method, measure or kind of positions that is not there.

    Example:
        >>> shown = ei.corpus_stimuli("brighter", "zh", split="test", limit=40, names="drop")  # doctest: +SKIP
        >>> ei.causal_universality(subject, bank, shown, "en", "zh", layer=9).to_frame()  # doctest: +SKIP
    """
    chosen = merged(CausalOptions, options, choices)
    setting, some = causal_setting(subject, bank, texts, (first, second), emotions, chosen)
    answered = {e: _kept(setting, e, chosen.null_folder) for e in some}
    frame = pd.DataFrame([answer["row"] for answer in answered.values()])
    tested = int(frame["p"].notna().sum())
    if 0 < chosen.n_random < needed_directions(tested):
        tell(
            f"with {chosen.n_random} draws p is at least {1 / (chosen.n_random + 1):.2g}, so Holm over {tested} emotions "
            f"cannot be below 0.05: give n_random of at least {needed_directions(tested)}."
        )
    frame["p_holm"] = holm(frame["p"].to_numpy(dtype=np.float64))
    frame = frame[[c for c in frame.columns if c != "note"] + ["note"]]
    rows = [
        {"emotion": e, "put_in": other, "recovered": value}
        for e, answer in answered.items()
        for other, value in answer["exchanged"].items()
    ]
    exchanges = pd.DataFrame(rows, columns=["emotion", "put_in", "recovered"])
    draws = {e: {name: np.asarray(v) for name, v in answer["draws"].items()} for e, answer in answered.items()}
    return CausalUniversality(first, second, frame, exchanges, draws, chosen.seed)


def _kept(setting: CausalSetting, emotion: str, folder: str | Path | None) -> dict[str, Any]:
    """One emotion's answers, taken from the folder where they are there."""
    if folder is None:
        return answers(setting, emotion)
    asked = {
        "subject": [setting.subject.name, _known_by(setting)],
        "vectors": _digest(setting),
        "place": [str(setting.site), setting.first, setting.second, setting.method, setting.measure],
        "draws": [setting.n_random, setting.k, setting.seed, {e: list(s) for e, s in setting.siblings.items()}],
        "tokens": [list(t.ids) for t in setting.shown.tokens],
        "labels": list(map(str, setting.shown.labels)),
        "changed": [int(c.sum()) for c in setting.shown.changed],
        "judge": {e: list(ids) for e, ids in setting.judge.token_ids.items()},
    }
    path = Path(folder) / f"{emotion}_{sha256_of(asked)[:32]}.json"
    if path.is_file():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise FileFormatError(f"{path} is no kept answer of an emotion ({error}); delete it.") from error
    answer = answers(setting, emotion)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(answer), encoding="utf-8")
    return answer


def _known_by(setting: CausalSetting) -> object:
    """What tells this subject from another of its name."""
    if setting.subject.provenance:
        return setting.subject.provenance

    return [
        [n, p.numel(), f"{float(p.detach().sum(dtype=torch.float64)):.6e}"]
        for n, p in setting.subject.model.named_parameters()
    ]


def _digest(setting: CausalSetting) -> list[str]:
    """Of the directions or features of both languages, and of the SAE's decoder."""
    if setting.method == FEATURES:
        languages = (setting.first, setting.second)
        used: list[object] = [setting.features(e, x).tolist() for x in languages for e in setting.bank.emotions]
    else:
        keys = [(setting.site, x, setting.method) for x in (setting.first, setting.second)]
        used = [np.asarray(setting.bank.directions[key], dtype=np.float32).tobytes() for key in keys]
    decoder = setting.latents.decoder.astype(np.float32).tobytes()
    return [
        hashlib.sha256(part if isinstance(part, bytes) else str(part).encode()).hexdigest() for part in (*used, decoder)
    ]


def exchange_test(
    exchanges: pd.DataFrame, emotions: Sequence[str], seed: int, count: int = PERMUTATIONS
) -> tuple[float, float]:
    """Mean standardised recovery by an emotion's own counterpart, and its p when counterparts are exchanged.

    Each row of [emotion of the text, emotion put in] is standardised over all that were put in, so that no emotion with a
    small effect counts more. NaN for fewer than four emotions.
    """
    names = list(emotions)
    if len(names) < 4:
        return float("nan"), float("nan")
    matrix = exchanges.pivot(index="emotion", columns="put_in", values="recovered").loc[names]
    spread = matrix.std(axis=1, ddof=0).replace(0.0, 1.0)
    scores = matrix.sub(matrix.mean(axis=1), axis=0).div(spread, axis=0)[names].fillna(0.0).to_numpy()
    observed, random, places = float(np.diag(scores).mean()), generator(seed, "exchange"), np.arange(len(names))
    drawn = np.asarray([scores[places, random.permutation(len(names))].mean() for _ in range(count)])
    return observed, share_beyond(observed - 1e-12, drawn)
