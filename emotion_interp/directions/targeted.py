"""Effect-targeted steering: learn what vectors do to text, then build the one that does only what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.options import Options, merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Direction, Site
from emotion_interp.judges.judging import Question, TextJudge, continue_all, judged, nothing
from emotion_interp.judges.next_word import NextWords
from emotion_interp.steering.context import unsteered
from emotion_interp.steering.interventions import Positions, RowInterventions, check_dose, scale_of
from emotion_interp.steering.operations import writable_reader
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.sae_reader import SaeReader
    from emotion_interp.subjects.subject import Subject


E = TypeVar("E", bound="EffectOptions")


@dataclass(frozen=True, eq=False)
class SteeringEffects:
    """A linear predictor of steering effects at one site and dose.

    Attributes:
        site: where vectors are added; dose: their length in units of the site's scale.
        names: of the effects: features of the site's SAE ("17"), or emotions.
        weights: [d_model, effect], per unit vector; bias: [effect], what any vector of this length does on average.
        r2: [effect], out of sample, by folds; NaN for an effect that never varies.
        scale: of the site, for directions made of it; None: `steer` takes the subject's own.
    """

    site: Site
    dose: float
    names: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray
    r2: np.ndarray
    scale: float | None = None

    def predict(self, units: np.ndarray) -> np.ndarray:
        """Effects of unit vectors [vector, d_model]: [vector, effect]."""
        return np.asarray(units, dtype=np.float64) @ self.weights + self.bias

    def __repr__(self) -> str:
        return f"SteeringEffects({self.site}, dose {self.dose:g}, {len(self.names)} effects)"


@dataclass(frozen=True, kw_only=True)
class EffectOptions(Options):
    """How the texts are made in which effects are measured.

    Attributes:
        max_new_tokens: of the texts.
        positions: of the texts.
        seed: of the texts.
        scale: of the site; default: the subject's own.
        generation: options of `decode`.
    """

    max_new_tokens: int = 16
    positions: Positions = "from_last_prompt_token"
    seed: int = 0
    scale: float | Mapping[Site, float] | None = None
    generation: Mapping[str, object] = field(default_factory=dict)


def effect_options(kind: type[E], options: E | None, choices: Mapping[str, object]) -> E:
    """The options of a call that takes those of `decode` as keywords too."""
    names = {f.name for f in fields(kind)}
    made = merged(kind, options, {k: v for k, v in choices.items() if k in names})
    return replace(made, generation={**made.generation, **{k: v for k, v in choices.items() if k not in names}})


def measure_effects(
    subject: Subject,
    site: Site | int,
    vectors: np.ndarray,
    prompts: Sequence[str],
    dose: float = 0.25,
    judge: TextJudge | NextWords | None = None,
    *,
    options: EffectOptions | None = None,
    **choices: object,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """What each vector, at one length, changes in the text: mean activation of every SAE feature, or judged emotions.

    Args:
        subject: the model.
        site: where vectors are added; with features, also where the unsteered subject reads the text that was written.
        vectors: [vector, d_model], of any length above 0; SAE decoder rows and random directions.
        prompts: neutral beginnings.
        dose: length in units of the site's scale.
        judge: the effects are its emotions' probabilities; default: features of the site's SAE, mean over the
            continuation's tokens.
        options: how the texts are made; or its fields, and options of `decode`, by keyword.

    Returns:
        effects [vector, effect], steered minus unsteered, mean over prompts; and the effects' names.

    Raises:
        EmotionInterpError: no vectors, a vector of length 0, or no prompts.

    Example:
        >>> effects, names = measure_effects(subject, 2, subject.readers[Site(2)].decoder_rows(range(200)),
        ...                                  NEUTRAL_PROMPTS["en"].tune)  # doctest: +SKIP
    """
    chosen, place = effect_options(EffectOptions, options, choices), subject.site(site)
    units = _units(vectors)
    if isinstance(prompts, str) or not len(prompts):
        raise EmotionInterpError(f"prompts is a list of at least one text, got {prompts!r}.")
    length = check_dose(dose) * scale_of(subject, place, chosen.scale)
    rows = RowInterventions({place: (length * units).astype(np.float32)})
    asked: Any = judge
    emotions = () if judge is None else tuple(judge.emotions)
    made = (chosen.positions, chosen.max_new_tokens, chosen.seed, dict(chosen.generation))
    question = Question(subject, tuple(prompts), asked, emotions, *made)
    if judge is not None:
        base = judged(question, nothing(subject)).mean(1)
        return judged(question, rows).mean(1) - base, emotions
    reader = writable_reader(subject, place)
    before = _read(question, place, nothing(subject), reader)
    return _read(question, place, rows, reader) - before, tuple(map(str, range(reader.d_sae)))


def fit_effects(
    site: Site,
    dose: float,
    vectors: np.ndarray,
    effects: np.ndarray,
    names: Sequence[str],
    seed: int = 0,
    scale: float | None = None,
) -> SteeringEffects:
    """Ridge regression of effects on unit vectors; the penalty with the smallest error over five folds.

    Args:
        site: where the vectors were added.
        dose: how long they were, in units of the scale.
        vectors: [vector, d_model].
        effects: [vector, effect].
        names: of the effects.
        seed: of the folds.
        scale: that of the site while the effects were measured, e.g. `bank.scales[site]`.

    Raises:
        EmotionInterpError: shapes do not fit, or fewer than ten vectors.
        NotFiniteError: NaN among the effects.
    """
    units, effects = _units(vectors), np.asarray(effects, dtype=np.float64)
    if effects.shape != (len(units), len(names)) or len(units) < 10:
        raise EmotionInterpError(
            f"effects are [vector, effect] of ten vectors at least, got {effects.shape} for {len(units)} vectors and "
            f"{len(names)} names."
        )
    if not np.isfinite(effects).all():
        raise NotFiniteError("the effects have NaN or infinite values; leave such vectors or effects out.")
    folds = KFold(5, shuffle=True, random_state=int(generator(seed, "folds").integers(2**31)))
    spread = effects.var(0)
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in 10.0 ** np.arange(-4, 4):
        predicted = cross_val_predict(Ridge(penalty), units, effects, cv=folds)
        guessed = np.asarray(predicted).reshape(effects.shape)
        errors = ((guessed - effects) ** 2).mean(0)
        # every effect counts alike, whatever its size
        total = float((errors[spread > 0] / spread[spread > 0]).mean()) if (spread > 0).any() else 0.0
        if best is None or total < best[0]:
            best = (total, float(penalty), errors)
    assert best is not None
    ridge = Ridge(best[1]).fit(units, effects)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(spread > 0, 1 - best[2] / spread, np.nan)
    weights = np.asarray(ridge.coef_, dtype=np.float64).reshape(len(names), -1).T
    return SteeringEffects(
        site, float(dose), tuple(names), weights, np.asarray(ridge.intercept_).reshape(-1), r2, scale
    )


@checked
def targeted_direction(
    effects: SteeringEffects,
    target: str | int | Mapping[str | int, float],
    side_effects: Sequence[str | int] | None = None,
    side_weight: float = 1.0,
    bias_weight: float = 1.0,
    name: str | None = None,
) -> Direction:
    """The unit direction with the largest predicted target effect minus side effects.

    With effect weights M [d_model, effect] and bias b, s = M t / |M t| - bias_weight * M b / |M b|: towards the target, and
    away from what any vector of this length does (SAE-TS). Where side effects are named, their span is also
    taken out of the target's part: M t is replaced by the t-effect's direction minus `side_weight` times its
    projection on the span of the side effects' weights, so that at 1 they are predicted not to move with it.

    Args:
        effects: `fit_effects(...)`.
        target: an effect's name, or several with weights.
        side_effects: effects that should not move; default: none by name.
        side_weight: 0 to 1, how much of their span is taken out.
        bias_weight: how strongly the common effect is countered; 0 for none.
        name: of the direction; default: the target's.

    Raises:
        UnknownNameError: no such effect.
        EmotionInterpError: nothing is left of the target, or weights out of range.

    Source: SAE-TS (Chalnev, Siu & Conmy 2024, arXiv 2411.02193); the projection is ours.

    Example:
        >>> targeted_direction(fit_effects(site, 0.25, vectors, *measured), "joy", ["sadness"])  # doctest: +SKIP
    """
    if not 0 <= side_weight <= 1 or not bias_weight >= 0:
        raise EmotionInterpError(
            f"side_weight lies in [0, 1] and bias_weight is at least 0, got {side_weight!r} and {bias_weight!r}."
        )
    wanted = dict(target) if isinstance(target, Mapping) else {target: 1.0}
    mixture = np.zeros(len(effects.names))
    for emotion, weight in wanted.items():
        mixture[_place(effects, emotion)] += weight
    towards = effects.weights @ mixture
    size = float(np.linalg.norm(towards))
    if side_effects:
        columns = effects.weights[:, [_place(effects, emotion) for emotion in side_effects]]
        basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        basis = basis[:, sizes > 1e-9 * max(float(sizes[0]), 1e-300)]
        towards = towards - side_weight * basis @ (basis.T @ towards)
    if not np.linalg.norm(towards) > 1e-9 * max(size, 1e-300):
        raise EmotionInterpError("the target has no effect of its own: its weights are 0 or those of the side effects.")
    towards = towards / np.linalg.norm(towards)
    common = effects.weights @ effects.bias
    if bias_weight and np.linalg.norm(common) > 0:
        towards = towards - bias_weight * common / np.linalg.norm(common)
    label = name or "+".join(map(str, wanted))
    if not np.linalg.norm(towards) > 1e-9:
        raise EmotionInterpError("the target's direction is that of the common effect; give bias_weight=0.")
    provenance = {
        "target": {str(k): float(v) for k, v in wanted.items()},
        "side_effects": [str(s) for s in side_effects or ()],
        "dose": effects.dose,
        "predicted": float(effects.predict((towards / np.linalg.norm(towards))[None])[0] @ mixture),
    }
    if effects.scale is not None:
        provenance["scale"] = effects.scale
    return Direction(towards, effects.site.layer, effects.site.kind, label, None, "targeted", provenance)


def _place(effects: SteeringEffects, name: str | int) -> int:
    if str(name) not in effects.names:
        raise UnknownNameError("effect", str(name), effects.names)
    return effects.names.index(str(name))


def _units(vectors: np.ndarray) -> np.ndarray:
    """[vector, d_model] at length one, float64."""
    if hasattr(vectors, "detach"):
        vectors = vectors.detach().cpu().numpy()
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim != 2 or not len(array):
        raise EmotionInterpError(f"vectors are [vector, d_model], got shape {array.shape}.")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise EmotionInterpError("a vector has length 0 or is not finite; it points nowhere.")
    return array / lengths


def _read(question: Question, site: Site, rows: RowInterventions, reader: SaeReader) -> np.ndarray:
    """Mean activation of every feature over the continuations' tokens, read unsteered: [row, feature]."""
    subject = question.subject
    prompts = [t.row for t in subject.tokenize(question.prompts, whole=True)]
    made = continue_all(question, rows)
    texts, owners, starts = [], [], []
    for row, tokens in enumerate(made.tokens):
        for prompt, new in zip(prompts, tokens, strict=True):
            if new:
                ids = [*prompt, *new]
                texts.append(TokenizedText(tuple(ids), (), bool(subject.has_bos([ids])[0])))
                owners.append(row)
                starts.append(len(prompt))
    sums, counts = np.zeros((rows.n_rows, reader.d_sae)), np.zeros(rows.n_rows)

    def on_site(place: Site, activations: torch.Tensor, batch: Batch) -> None:
        del place
        for i, r in enumerate(batch.rows):
            written = activations[i, starts[r] : len(texts[r].ids)]
            sums[owners[r]] += reader.encode(written).double().sum(0).cpu().numpy()
            counts[owners[r]] += len(written)

    with unsteered():
        forward_pass(subject, texts, [site], on_site)
    return sums / np.maximum(counts, 1)[:, None]
