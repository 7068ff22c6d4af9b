"""What a report is made from: plain frames, so that it can be rendered again without the subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emotion_interp.core import EmotionInterpError

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.report.tokens import TokenView
    from emotion_interp.report.trace_result import EmotionTrace

_TESTED = tuple(
    f"{name}_{part}" for name in ("valence", "arousal") for part in ("pc", "r", "lo", "hi", "p", "p_layers")
)

_GIVEN_TEXT = tuple(
    f"{name}_{text}" for text in ("text", "encoder") for name in ("rsa_given", "valence_gain_over", "arousal_gain_over")
)

COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "summary": (
        ("layer", "language", "emotion", "feature", "auroc_heldout"),
        (
            *("site", "lo", "hi", "confirmed", "dense_auroc", "text_auroc", "specificity", "coverage", "n_words"),
            *("held_out_specificity", "rival", "p_confirmed", "confirmed_uncorrected", "layer_fixed"),
        ),
    ),
    "selected": (("layer", "language", "emotion", "feature", "value"), ("site",)),
    "controls": (
        ("layer", "language", "emotion", "feature"),
        (
            *("site", "matched_auroc", "matched_p_holm", "token_share", "lexical_token", "lexical"),
            *("valence_auroc", "valence_only", "position_auroc", "positional"),
        ),
    ),
    "transfer": (("layer", "language", "emotion", "feature", "tested_on", "auroc", "p_holm", "transfers"), ("site",)),
    "alignment": (
        ("layer", "valence_r", "arousal_r"),
        (
            *("site", "language", "kind"),
            *("valence_chance", "arousal_chance", "rsa_chance_lo", "rsa_chance_hi", "rsa_ceiling"),
            *(name for name in _TESTED if name not in ("valence_r", "arousal_r")),
            *("rsa_rho", "rsa_lo", "rsa_hi", "rsa_p", "procrustes_disparity", "procrustes_p"),
            *("readout_valence_r", "readout_valence_p", "readout_arousal_r", "readout_arousal_p"),
            *("circumplex_r", "circumplex_p", "n_emotions"),
            *(f"{c}{p}" for c in _GIVEN_TEXT for p in ("", "_lo", "_hi", "_p")),
        ),
    ),
    "circumplex_points": (
        ("layer", "emotion", "human_valence", "human_arousal", "model_x", "model_y"),
        (
            *("site", "language", "kind", "model_x_lo", "model_x_hi", "model_y_lo", "model_y_hi"),
            *("model_var_x", "model_var_y", "model_cov"),
        ),
    ),
    "rdms": (("layer", "emotion_a", "emotion_b", "model", "people"), ("site", "language", "kind")),
    "pcs": (("layer", "pc", "r_valence", "r_arousal"), ("site", "language", "kind")),
    "ratings": (
        ("layer", "feature_set", "train_language", "test_language", "dimension", "r"),
        (
            "site",
            "rho",
            "r2",
            "mae",
            "r_over_ceiling",
            "ceiling",
            "n_words",
            "n_features",
            "r_lo",
            "r_hi",
            "p",
            "r_draws",
        ),
    ),
    "predicted": (
        ("layer", "dimension", "word", "human", "predicted"),
        ("site", "feature_set", "train_language", "test_language"),
    ),
    "learning": (("n_words_train", "layer", "feature_set", "dimension", "r"), ("site", "low", "high", "ceiling")),
    "steering": (
        ("emotion", "dose", "target"),
        (
            *("layer", "site", "method", "lo", "hi", "target_unsteered", "p", "p_holm"),
            *("random_lo", "random_hi", "perplexity_ratio", "distinct2_ratio", "chosen", "p_holm_chosen"),
        ),
    ),
    "steered_text": (
        ("emotion", "prompt", "unsteered", "steered"),
        ("layer", "dose", "method", "read_as", "judged_by"),
    ),
}
"""Per frame: the columns it must have, and those that are shown where present."""

_TEXT_DEFAULTS = {
    "language": "all",
    "train_language": "all",
    "test_language": "all",
    "kind": "features",
    "method": "features",
    "feature_set": "features",
}


@dataclass(frozen=True, eq=False)
class StudyData:
    """One study's results as plain frames; a frame that is None or empty means that this part was not run.

    Optional columns that are missing are added as NaN ("language" as "all"); the frames given stay as they are.

    Args:
        title: heading of the report.
        subject: facts about the subject, name -> value.
        concepts: facts about the concept sets, name -> value.
        summary: top feature per layer, language and emotion with its held-out AUROC.
        selected: features by emotions, for the heat maps.
        controls: what the bank's tables of that name say of the confirmed top features.
        transfer: what the bank's tables of that name say of the confirmed top features.
        cards: name -> HTML of a feature's card (`feature_card(...).html`, which is safe for any text).
        maps: what a saved `feature_map` is of -> its file, beside the report.
        alignment: one row per layer, language and kind of space.
        circumplex_points: where people and the model put each emotion.
        rdms: dissimilarity of every pair of emotions, in the model and for people.
        pcs: correlation of each principal component with valence and arousal.
        ratings: predicted word ratings, as `predict_ratings(...).to_frame()`.
        predicted: word by word, of the fits that are drawn.
        learning: the learning curve, as `learning_curve(...).to_frame()`.
        steering: one row per emotion, layer, dose and method.
        steered_text: examples, steered beside unsteered; `read_as` is the emotion that a judge of texts, `judged_by`, reads
            in the steered one.
        traces: texts read token by token.
        manifest: seeds, versions, hashes; may be nested.
        warnings: sentences that a reader must see.

    Raises:
        EmotionInterpError: a frame that lacks a column.

    Example:
        >>> StudyData(title="Empty").has("steering")
        False
    """

    title: str
    subject: dict[str, object] = field(default_factory=dict)
    concepts: dict[str, object] = field(default_factory=dict)
    summary: pd.DataFrame | None = None
    selected: pd.DataFrame | None = None
    controls: pd.DataFrame | None = None
    transfer: pd.DataFrame | None = None
    cards: dict[str, str] = field(default_factory=dict)
    maps: dict[str, str] = field(default_factory=dict)
    alignment: pd.DataFrame | None = None
    circumplex_points: pd.DataFrame | None = None
    rdms: pd.DataFrame | None = None
    pcs: pd.DataFrame | None = None
    ratings: pd.DataFrame | None = None
    predicted: pd.DataFrame | None = None
    learning: pd.DataFrame | None = None
    steering: pd.DataFrame | None = None
    steered_text: pd.DataFrame | None = None
    traces: list[TokenView | EmotionTrace] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, (required, optional) in COLUMNS.items():
            frame = getattr(self, name)
            if frame is None:
                continue
            if not len(frame):
                object.__setattr__(self, name, None)
                continue
            missing = [column for column in required if column not in frame.columns]
            if missing:
                raise EmotionInterpError(
                    f"the frame {name!r} of a report needs the columns {', '.join(required)}; "
                    f"missing: {', '.join(missing)}; given: {', '.join(map(str, frame.columns))}."
                )
            new = {
                column: _TEXT_DEFAULTS.get(column, float("nan")) for column in optional if column not in frame.columns
            }
            object.__setattr__(self, name, frame.assign(**new).reset_index(drop=True))

    def has(self, name: str) -> bool:
        """Whether this part was run."""
        return getattr(self, name) is not None

    def frame(self, name: str) -> pd.DataFrame:
        """The DataFrame of a part that was run; `EmotionInterpError` if it was not."""
        value = getattr(self, name)
        if value is None:
            raise EmotionInterpError(f"the part {name!r} of this study was not run.")
        return value
