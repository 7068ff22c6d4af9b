"""Does adding an emotion's direction make the text that emotion: emotions x layers x methods x doses, with controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site
from emotion_interp.experiments.corrections import warn_if_none_can_pass
from emotion_interp.experiments.grid import evaluate, make_cells
from emotion_interp.experiments.question import NullChoices, NullOptions, ask, make_nulls
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.figures.doses import dose_curves
from emotion_interp.steering.interventions import check_dose

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False, repr=False)
class DoseResponse(Result):
    """A dose-response grid.

    Attributes:
        table: one row per emotion x site x method x dose; see `dose_response`.
        confusion: emotion, layer, site, method, dose, judged, shift: what every emotion's direction does to every emotion.
        texts: emotion, layer, site, method, dose, prompt, text (dose 0: unsteered); empty when nothing was generated.
    """

    table: pd.DataFrame
    confusion: pd.DataFrame
    texts: pd.DataFrame

    ROWS = "table"

    def plot(self, layer: int | Site | str | None = None, method: str | None = None) -> go.Figure:
        """Dose curves of one layer (or site) and method, default: the first, as a plotly figure."""
        frame = self.table
        if isinstance(layer, (str, Site)):
            place = str(layer)
        else:
            place = next(iter(frame["site"] if layer is None else frame.loc[frame["layer"] == layer, "site"]), "")
        chosen_method = frame["method"].iloc[0] if method is None else method
        rows = frame[(frame["site"] == place) & (frame["method"] == chosen_method)].dropna(subset=["target"])
        where = place if frame.groupby("layer")["site"].nunique().max() > 1 else f"layer {rows['layer'].max()}"
        return dose_curves(rows, title=f"Steering by dose, {where}, {chosen_method} directions")


@dataclass(frozen=True, kw_only=True)
class DoseOptions(NullOptions):
    """What p-values a grid has.

    Attributes:
        alpha: a warning says so where Holm over the emotions cannot be below it with so few random directions; None: none.
    """

    alpha: float | None = 0.05


class DoseChoices(NullChoices, total=False):
    """`DoseOptions` by keyword."""

    alpha: float | None


@simple_call("emotions", "doses", "prompts", "layers", "method", "language", max_new_tokens=0)
@checked
def dose_response(
    setting: Setting,
    emotions: Sequence[str],
    doses: Sequence[float],
    layers: Sequence[int | Site | str] | None = None,
    method: str | Sequence[str] = "dense",
    *,
    options: DoseOptions | None = None,
    **choices: Unpack[DoseChoices],
) -> DoseResponse:
    """Judged shift of every emotion over doses, against random directions of the same norm.

    Also `dose_response(subject, bank, emotions, doses, prompts, ...)` with every field of a `Setting`, and options of
    `decode`, by keyword; texts are then written only where `max_new_tokens` is above 0.

    Args:
        setting: subject, bank, prompts, judge and the rest.
        emotions: which directions; also the columns of the confusion matrix.
        doses: in units of the site's scale.
        layers: layers, hook names or sites; default: all layers of the bank.
        method: "dense", "sae", or several.
        options: which random directions; or its fields by keyword.
        **choices: fields of `DoseOptions`, by keyword.

    Returns:
        `.to_frame()` columns: emotion, layer, site, method, dose; target (mean judged probability), lo, hi (95% percentile
        bootstrap over prompts), random_lo, random_hi (2.5 and 97.5% of the random directions); target_unsteered;
        shift = target - target_unsteered, shift_lo, shift_hi; p = (1 + b) / (n_random + 1), b the random directions
        that shift the target at least as far; p_holm (a family is all emotions of one site, method and dose);
        over_random = target - mean of the random directions, over_random_lo, over_random_hi (over prompts);
        of several kinds, random_kind (the one with the largest p, to which random_lo, random_hi, over_random and z belong) and
        `p_<kind>`; of several judges, judge (whose figures these are), `target_<judge>`, `target_unsteered_<judge>`, `p_<judge>` (and
        `p_<judge>_<kind>`), and p the largest over the judges that know the emotion;
        perplexity_ratio, distinct2, distinct2_ratio against unsteered text; content_overlap, content_similarity of the
        continuations with the unsteered ones of the same prompt and random numbers (see `content_overlap`); regime and in_window (see `regime` and
        `stable_windows`); n_prompts, n_words; note (why a row is empty).

    Warns:
        UserWarning: "sae_output" directions judged by the words that chose them; too few random directions for Holm.

    Raises:
        EmotionInterpError: nothing to do, a bad dose, no direction at all, or a text judge without new tokens.
        UnknownNameError: words of an emotion that is neither asked for nor the bank's.

    Example:
        >>> dose_response(subject, bank, ["joy"], [0.25, 0.5], NEUTRAL_PROMPTS["en"].tune).plot()  # doctest: +SKIP
    """
    chosen, bank = merged(DoseOptions, options, choices), setting.bank
    methods = [method] if isinstance(method, str) else list(method)
    if setting.judge is None and setting.words is None and "sae_output" in methods:
        tell(
            "output features were chosen by what they do to the words that the next-word judge counts; give other words, "
            "or a judge of texts."
        )
    question = ask(setting, emotions)
    amounts = [check_dose(d) for d in doses]
    places = list(bank.layers if layers is None else layers)
    if not (amounts and places and methods):
        raise EmotionInterpError("dose_response needs at least one dose, one layer and one method.")
    warn_if_none_can_pass(chosen.n_random, len(question.asked), chosen.alpha)
    cells = make_cells(bank, question.asked, places, methods, amounts, setting.language)
    sites = [c.direction.site for c in cells if c.direction is not None]
    evaluated = evaluate(replace(question, nulls=make_nulls(setting, chosen, sites)), cells, bank.scales)
    return DoseResponse(evaluated.table, evaluated.confusion, evaluated.texts)
