"""Does adding an emotion's direction make the text that emotion: emotions x layers x methods x doses, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.markup import frame_html
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import NullTexts
from emotion_interp.experiments.corrections import warn_if_none_can_pass
from emotion_interp.experiments.grid import evaluate, make_cells
from emotion_interp.experiments.setting import make_nulls, make_setting
from emotion_interp.judges.judging import TextJudge
from emotion_interp.steering.interventions import Positions, check_dose

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects.subject import Subject


@dataclass(frozen=True, eq=False)
class DoseResponse:
    """A dose-response grid.

    Attributes:
        table: one row per emotion x site x method x dose; see `dose_response`.
        confusion: emotion, layer, site, method, dose, judged, shift: what every emotion's direction does to every emotion.
        texts: emotion, layer, site, method, dose, prompt, text (dose 0: unsteered); empty when nothing was generated.
    """

    table: pd.DataFrame
    confusion: pd.DataFrame
    texts: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def plot(self, layer: int | Site | str | None = None, method: str | None = None) -> Any:
        """Dose curves of one layer (or site) and method, default: the first, as a plotly figure."""
        from emotion_interp.figures.doses import dose_curves

        frame: Any = self.table
        if isinstance(layer, (str, Site)):
            place = str(layer)
        else:
            place = next(iter(frame["site"] if layer is None else frame.loc[frame["layer"] == layer, "site"]), "")
        chosen_method = frame["method"].iloc[0] if method is None else method
        rows = frame[(frame["site"] == place) & (frame["method"] == chosen_method)].dropna(subset=["target"])
        where = place if frame.groupby("layer")["site"].nunique().max() > 1 else f"layer {rows['layer'].max()}"
        return dose_curves(rows, title=f"Steering by dose, {where}, {chosen_method} directions")

    def _repr_html_(self) -> str:
        return frame_html(self.table)


@checked
def dose_response(
    subject: Subject,
    bank: Any,
    emotions: Sequence[str],
    doses: Sequence[float],
    prompts: Sequence[str],
    layers: Sequence[int | Site | str] | None = None,
    method: str | Sequence[str] = "dense",
    language: str = "en",
    judge: TextJudge | Mapping[str, TextJudge] | None = None,
    n_random: int = 199,
    seed: int = 0,
    words: Mapping[str, Sequence[str]] | None = None,
    max_new_tokens: int = 0,
    positions: Positions = "from_last_prompt_token",
    samples: int = 1,
    text_language: str | None = None,
    null_folder: str | Path | None = None,
    kinds: Sequence[str] = ("isotropic",),
    stimuli: NullTexts | Sequence[Stimulus] | None = None,
    alpha: float | None = 0.05,
    **options: Any,
) -> DoseResponse:
    """Judged shift of every emotion over doses, against random directions of the same norm.

    Args:
        subject: the model.
        bank: a `FeatureBank`, or anything with `direction(emotion, layer=, language=, method=)`, `scales` and
            `held_out_words(emotion, language)`.
        emotions: which directions; also the columns of the confusion matrix.
        doses: in units of the site's scale.
        prompts: neutral beginnings (`NEUTRAL_PROMPTS`).
        layers: layers, hook names or sites; default: all layers of the bank.
        method: "dense", "sae", or several.
        language: of directions and words.
        judge: a classifier with `emotions` and `predict_proba(texts)`; default: the next-word judge, which reads the
            probability of the emotion's held-out words right after the prompt. Several, by name: all judge the same texts;
            an emotion's figures are those of the first that knows it.
        n_random: random directions of each kind; the smallest p is 1 / (n_random + 1), so Holm over k emotions at .05 needs at
            least 20 k of them.
        seed: of random directions, bootstrap and sampling.
        words: emotion -> words for the next-word judge; default: the bank's held-out words.
        max_new_tokens: above 0, texts are written and perplexity and distinct-2 filled in. A text judge needs it.
        positions: where vectors are added.
        samples: texts of each prompt under each intervention, averaged before any interval; above 1 with `do_sample`.
        text_language: of the prompts and of the next-word judge's words, where it is another one than the directions'.
        null_folder: where the answers of random directions are kept and taken again, so that a killed run goes on (see
            `nulls.random_answers`).
        kinds: of random directions, "isotropic", "decoder", "topics", "shuffled" (see `random_directions`); p is the
            largest over them. Decoder rows of the emotion's own selected features do not count against it.
        stimuli: labelled texts in groups, or `null_texts(...)`, for "topics" and "shuffled".
        alpha: a warning says so where Holm over the emotions cannot be below it with so few random directions; None: none.
        **options: of `decode` (`do_sample`, `temperature`, ...).

    Returns:
        `.to_frame()` columns: emotion, layer, site, method, dose; target (mean judged probability), lo, hi (95% percentile
        bootstrap over prompts), random_lo, random_hi (2.5 and 97.5% of the random directions); target_unsteered;
        shift = target - target_unsteered, shift_lo, shift_hi; p = (1 + b) / (n_random + 1), b the random directions
        that shift the target at least as far; p_holm (a family is all emotions of one site, method and dose);
        over_random = target - mean of the random directions, over_random_lo, over_random_hi (over prompts);
        of several kinds, random_kind (the one with the largest p, to which random_lo, random_hi, over_random and z belong) and
        p_<kind>; of several judges, judge (whose figures these are), target_<judge>, target_unsteered_<judge>, p_<judge> (and
        p_<judge>_<kind>), and p the largest over the judges that know the emotion;
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
    methods = [method] if isinstance(method, str) else list(method)
    if judge is None and words is None and "sae_output" in methods:
        tell(
            "output features were chosen by what they do to the words that the next-word judge counts; give other words, "
            "or a judge of texts."
        )
    spoken = text_language or language
    setting = make_setting(
        subject, bank, emotions, prompts, spoken, judge, words, max_new_tokens, positions, seed, options, samples
    )
    amounts = [check_dose(d) for d in doses]
    places = list(bank.layers if layers is None else layers)
    if not (amounts and places and methods):
        raise EmotionInterpError("dose_response needs at least one dose, one layer and one method.")
    warn_if_none_can_pass(n_random, len(setting.asked), alpha)
    cells = make_cells(bank, setting.asked, places, methods, amounts, language)
    sites = [c.direction.site for c in cells if c.direction is not None]
    nulls = make_nulls(subject, bank, n_random, kinds, stimuli, sites)
    found = evaluate(replace(setting, null_folder=null_folder, nulls=nulls), cells, bank.scales)
    return DoseResponse(found.table, found.confusion, found.texts)
