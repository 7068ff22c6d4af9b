"""Does the dial do what it is asked: judged points per requested standard deviation, against dials of shuffled ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.markup import frame_html
from emotion_interp.core.types import Direction, Site
from emotion_interp.directions.dial import dial
from emotion_interp.experiments.dial_slopes import against_shuffled, correlation, figures, shuffled_ratings
from emotion_interp.judges.coherence import continuation_log_probabilities, distinct_2, is_coherent, perplexity
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import Positions, RowInterventions, check_dose, check_positions
from emotion_interp.steering.interventions import row_interventions as prepared
from emotion_interp.subjects.generation import continuation_text, decode

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects.subject import Subject

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Requested coordinates: standard deviations over the bank's emotions."""


class CoordinateJudge(Protocol):
    """A judge of coordinates: `predict(texts)` -> [text, 2], valence and arousal."""

    def predict(self, texts: Sequence[str], /) -> Any:
        """Valence and arousal [text, 2]."""
        ...


@dataclass(frozen=True, eq=False)
class DialGrid:
    """A grid of requested coordinates and what came of them.

    Attributes:
        table: one row per cell: valence, arousal (requested), judged_valence, judged_arousal (mean over texts),
            perplexity_ratio, distinct2_ratio, intact, n_texts.
        fit: one row: layer, site, dose, method; slope_valence, slope_arousal (judged points per requested standard deviation)
            with lo and hi (95% percentile bootstrap over prompts); n_null, slope_*_null_lo and _hi (95% of dials of shuffled
            ratings), p_valence, p_arousal (share of those dials whose slope is at least as large, (1 + b) / (n_null + 1));
            r_valence, r_arousal over the cells, valence_lo and so on, r_*_null (median |r| of shuffled dials: any two
            directions give a plane in which r is far from 0, so r says less than it seems); cross_valence (r of requested
            arousal with judged valence), cross_arousal; share_intact (of the cells), r_valence_intact and r_arousal_intact
            (over those alone), n_cells, n_prompts, n_samples, max_new_tokens.
        texts: valence, arousal, prompt, sample, text (what was written after the prompt), judged_valence, judged_arousal.
    """

    table: pd.DataFrame
    fit: pd.DataFrame
    texts: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The fit and its intervals, a copy."""
        return self.fit.copy()

    def _repr_html_(self) -> str:
        return frame_html(self.fit) + frame_html(self.table)


@checked
def dial_grid(
    subject: Subject,
    bank: Any,
    prompts: Sequence[str],
    judge: CoordinateJudge | None = None,
    layer: int | Site | str | None = None,
    dose: float = 0.25,
    valences: Sequence[float] = STEPS,
    arousals: Sequence[float] = STEPS,
    method: str = "dense",
    language: str = "en",
    norms: Any = "builtin",
    n_samples: int = 4,
    max_new_tokens: int = 40,
    positions: Positions = "from_last_prompt_token",
    seed: int = 0,
    n_null: int = 99,
    null_samples: int = 1,
    **options: Any,
) -> DialGrid:
    """Steer to every pair of coordinates, sample texts, and regress what the judge reads on what was asked.

    A cell is steered by `dose * radius` site scales along `dial(...)`'s unit direction, radius being the distance of
    the coordinates from (0, 0), which is unsteered text. The judge reads the continuation alone. A prompt's sample draws
    the same random numbers in every cell.

    Args:
        subject: the model.
        bank: as for `dial`.
        prompts: neutral beginnings, other ones than those on which layer and dose were chosen (`dial_test`).
        judge: default: `load_judge("emobank_comments")`, which has read no story.
        layer: a layer or site; default: the middle of the bank's layers.
        dose: of one standard deviation, in units of the site's scale.
        valences, arousals: requested, in standard deviations over the bank's emotions.
        method, language, norms: of the dial.
        n_samples: texts for each prompt and cell.
        max_new_tokens: of each text.
        positions: where vectors are added.
        seed: of sampling, bootstrap and shuffles.
        n_null: dials of shuffled ratings, each a whole grid: the emotions have each other's ratings. 0: no p.
        null_samples: texts for each prompt and cell under those; p compares them with as many of the dial's own.
        **options: of `decode`; texts are sampled at temperature 1 unless told otherwise.

    Raises:
        EmotionInterpError: no prompts, fewer than two values on either side, or a judge that answers in another shape.

    Example:
        >>> dial_grid(subject, bank, NEUTRAL_PROMPTS["en"].test, layer=2).to_frame()  # doctest: +SKIP
    """
    import pandas as pd

    if isinstance(prompts, str) or not len(prompts):
        raise EmotionInterpError(f"prompts is a list of at least one text, got {prompts!r}.")
    if len(set(valences)) < 2 or len(set(arousals)) < 2:
        raise EmotionInterpError("a correlation needs at least two different valences and two arousals.")
    if n_samples < 1 or max_new_tokens < 2:
        raise EmotionInterpError(
            f"each cell needs a text of two tokens at least, got {n_samples=} and {max_new_tokens=}."
        )
    if isinstance(n_null, bool) or n_null < 0 or not 1 <= null_samples <= n_samples:
        raise EmotionInterpError(
            f"n_null is a number of dials from 0, null_samples one from 1 to n_samples={n_samples}; got {n_null!r} and "
            f"{null_samples!r}."
        )
    check_positions(positions)
    amount = check_dose(dose)
    if judge is None:
        from emotion_interp.judges.text_judges import load_judge

        judge = load_judge("emobank_comments")
    place = list(bank.layers)[len(bank.layers) // 2] if layer is None else layer
    cells = list(product(valences, arousals))
    directions: list[Direction | None] = [
        dial(bank, v, a, place, norms, language, method) if (v, a) != (0, 0) else None for v, a in cells
    ]
    doses = [0.0 if d is None else amount * float(d.provenance["radius"]) for d in directions]
    # the unsteered row comes last, and is the baseline of fluency
    rows = prepared(subject, [*directions, None], [*doses, 0.0], getattr(bank, "scales", None))
    written = {"new": max_new_tokens, "positions": positions, "seed": seed, "options": options}
    tokens, texts = _written(subject, rows, list(prompts), n_samples, **written)
    size = len(prompts) * n_samples
    values = _judged(judge, texts[:-1]).reshape(len(cells), len(prompts), n_samples, 2)
    asked = np.asarray(cells, dtype=np.float64)
    nulls = []
    for frame in shuffled_ratings(list(bank.emotions), norms, None, n_null, seed) if n_null else []:
        turned = [dial(bank, v, a, place, frame, language, method) if (v, a) != (0, 0) else None for v, a in cells]
        shuffled = prepared(subject, turned, doses, getattr(bank, "scales", None))
        _, one = _written(subject, shuffled, list(prompts), null_samples, **written)
        nulls.append(_judged(judge, one).reshape(len(cells), len(prompts) * null_samples, 2).mean(1))
    table = pd.DataFrame(cells, columns=["valence", "arousal"])
    table[["judged_valence", "judged_arousal"]] = values.mean((1, 2))
    table = pd.concat([table, _fluency(subject, list(prompts), n_samples, tokens)], axis=1)
    table["n_texts"] = size
    first = next(d for d in directions if d is not None)
    site = bank.site(place) if hasattr(bank, "site") else first.site
    fit = {"layer": first.layer, "site": str(site), "dose": amount, "method": method}
    fit |= figures(asked, values, seed)
    own = values[:, :, :null_samples].mean((1, 2))
    fit |= against_shuffled(asked, own, np.asarray(nulls).reshape(len(nulls), len(cells), 2))
    fit |= {
        "share_intact": float(table["intact"].to_numpy().mean()),
        **_intact(table),
        "n_cells": len(cells),
        "n_prompts": len(prompts),
    }
    fit |= {"n_samples": n_samples, "max_new_tokens": max_new_tokens}
    lines = [
        {"valence": v, "arousal": a, "prompt": p, "sample": s, "text": texts[c][i * n_samples + s]}
        | {"judged_valence": values[c, i, s, 0], "judged_arousal": values[c, i, s, 1]}
        for c, (v, a) in enumerate(cells)
        for i, p in enumerate(prompts)
        for s in range(n_samples)
    ]
    return DialGrid(table, pd.DataFrame([fit]), pd.DataFrame(lines))


@checked
def dial_test(
    subject: Subject,
    bank: Any,
    tune_prompts: Sequence[str],
    test_prompts: Sequence[str],
    judge: CoordinateJudge | None = None,
    layers: Sequence[int | Site | str] | None = None,
    doses: Sequence[float] = (0.1, 0.2, 0.3),
    methods: Sequence[str] = ("dense", "dense_clean", "sae"),
    least_intact: float = 0.8,
    n_samples: int = 4,
    tune_samples: int = 1,
    n_null: int = 99,
    **options: Any,
) -> tuple[DialGrid, pd.DataFrame]:
    """Choose layer, dose and kind of direction on `tune_prompts`; the grid on `test_prompts`.

    Chosen is the highest slope_valence + slope_arousal among grids with at least `least_intact` of their cells intact
    (perplexity ratio in [0.5, 2], distinct-2 at least .8 of unsteered text); where there is none, the one with most.

    Args:
        subject, bank, judge: as in `dial_grid`, as are the options.
        tune_prompts, test_prompts: no prompt may be in both.
        layers, doses, methods: what is tried; default: all layers of the bank.
        least_intact: share of a grid's cells whose text must stay intact.
        n_samples, tune_samples: texts for each prompt and cell when reporting and when choosing.
        n_null: dials of shuffled ratings when reporting; none when choosing.

    Returns:
        the grid on the test prompts, and a frame with one fit for each setting on the tuning prompts (column chosen).

    Raises:
        EmotionInterpError: a prompt on both sides, or nothing to try.

    Example:
        >>> grid, tuning = dial_test(subject, bank, *NEUTRAL_PROMPTS["en"])  # doctest: +SKIP
    """
    import pandas as pd

    shared = sorted(set(tune_prompts) & set(test_prompts))
    if shared:
        raise EmotionInterpError(f"a prompt is both for choosing and for reporting: {shared[0]!r}; keep them apart.")
    places = list(bank.layers if layers is None else layers)
    settings = list(product(places, doses, methods))
    if not settings:
        raise EmotionInterpError("dial_test needs at least one layer, one dose and one method.")
    fits = []
    for place, dose, method in settings:
        chosen = {"layer": place, "dose": dose, "method": method, "n_samples": tune_samples, "n_null": 0}
        chosen |= {"null_samples": 1}
        fits.append(dial_grid(subject, bank, tune_prompts, judge, **chosen, **options).fit)
    tuning = pd.concat(fits, ignore_index=True)
    score: Any = (tuning["slope_valence"] + tuning["slope_arousal"]).fillna(-np.inf)
    intact: Any = tuning["share_intact"] >= least_intact
    if not bool(intact.any()):
        intact = tuning["share_intact"] == tuning["share_intact"].max()
    best = int(score.where(intact, -np.inf).to_numpy().argmax())
    tuning["chosen"] = np.arange(len(tuning)) == best
    place, dose, method = settings[best]
    chosen = {"layer": place, "dose": dose, "method": method, "n_samples": n_samples, "n_null": n_null}
    return dial_grid(subject, bank, test_prompts, judge, **chosen, **options), tuning


def _written(
    subject: Subject,
    rows: RowInterventions,
    prompts: list[str],
    n_samples: int,
    new: int,
    positions: Positions,
    seed: int,
    options: dict[str, Any],
) -> tuple[list[list[list[int]]], list[list[str]]]:
    """Tokens and texts of every row's continuations, prompt by prompt, sample by sample: [row][prompt x sample]."""
    ids = [list(t.ids) for t in subject.tokenize(prompts, whole=True) for _ in range(n_samples)]
    size = len(ids)
    crossed = RowInterventions(rows.vectors, index=np.repeat(np.arange(rows.n_rows), size))
    with steer_rows(subject, crossed, positions):
        made = decode(
            subject,
            ids * rows.n_rows,
            new,
            seed=seed,
            streams=list(range(size)) * rows.n_rows,
            **{"do_sample": True, **options},
        )
    tokens = [made.tokens[i * size : (i + 1) * size] for i in range(rows.n_rows)]
    return tokens, [[continuation_text(subject, ids[k], t) for k, t in enumerate(one)] for one in tokens]


def _fluency(subject: Subject, prompts: list[str], n_samples: int, tokens: list[list[list[int]]]) -> pd.DataFrame:
    """Ratios of every cell to the last row, which is unsteered."""
    import pandas as pd

    ids = [list(t.ids) for t in subject.tokenize(prompts, whole=True) for _ in range(n_samples)]
    scores = continuation_log_probabilities(subject, ids * len(tokens), [t for one in tokens for t in one])
    size = len(ids)
    perplexities = [perplexity(scores[i * size : (i + 1) * size]) for i in range(len(tokens))]
    distinct = [distinct_2(one) for one in tokens]
    frame = pd.DataFrame({"perplexity_ratio": perplexities, "distinct2_ratio": distinct})
    frame = (frame / frame.iloc[-1]).iloc[:-1]
    ratios = zip(frame["perplexity_ratio"], frame["distinct2_ratio"], strict=True)
    return frame.assign(intact=[is_coherent(p, d) for p, d in ratios])


def _intact(table: Any) -> dict[str, float]:
    """r over the cells whose text is intact."""
    kept = table[table["intact"]]
    names = ("valence", "arousal")
    return {
        f"r_{d}_intact": float(correlation(kept[d].to_numpy(float), kept[f"judged_{d}"].to_numpy(float)[None])[0])
        if len(kept) > 2
        else float("nan")
        for d in names
    }


def _judged(judge: CoordinateJudge, texts: list[list[str]]) -> np.ndarray:
    """The judge's answers to all texts, [text, 2]."""
    flat = [t for one in texts for t in one]
    values = np.asarray(judge.predict(flat), dtype=np.float64)
    if values.shape != (len(flat), 2):
        raise EmotionInterpError(f"the judge answers with shape {values.shape}, expected {(len(flat), 2)}.")
    return values
