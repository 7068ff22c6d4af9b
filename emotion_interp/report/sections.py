"""The figures and tables of each section, as plain values for the template."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from emotion_interp.report.blocks import cell, choice_block, figure_block, table_block
from emotion_interp.report.brief import best_layers, language_name, number
from emotion_interp.report.data import StudyData


def _joined(frame: Any, low: str, high: str, digits: int = 2) -> Any:
    """Interval columns as one text column."""
    return frame.apply(
        lambda row: (
            f"[{number(row[low], digits)}, {number(row[high], digits)}]" if math.isfinite(row[low]) else float("nan")
        ),
        axis=1,
    )


def _with_intervals(frame: Any, pairs: dict[str, tuple[str, str]]) -> Any:
    return frame.assign(**{name: _joined(frame, low, high) for name, (low, high) in pairs.items()})


def features_blocks(study: StudyData) -> list[dict[str, Any]]:
    """Curve over layers; then, per layer and language, the table of top features and the heat map."""
    import pandas as pd

    from emotion_interp.figures import feature_heatmap, layer_curves

    summary = study.frame("summary")
    curves = []
    for (language, layer), rows in summary.groupby(["language", "layer"], sort=False):
        scores = rows["auroc_heldout"].dropna()
        name = language_name(language)
        low, high = scores.quantile(0.25), scores.quantile(0.75)
        curves.append((layer, f"{name}, SAE features", scores.median(), low, high))
        if rows["dense_auroc"].notna().any():
            curves.append((layer, f"{name}, dense direction", rows["dense_auroc"].median(), math.nan, math.nan))
    frame = pd.DataFrame(curves, columns=["layer", "series", "value", "lo", "hi"]).dropna(subset=["value"])
    blocks = []
    if len(frame):
        how = (
            "Each point: the median emotion's top feature on stimuli it was not selected on; 0.5 is chance. Shaded: the "
            "middle half of the emotions. Dense: the difference-of-means direction that an SAE has to beat."
        )
        drawn = layer_curves(frame, title="Held-out AUROC by layer", y_title="held-out AUROC", how_to_read=how)
        blocks.append(figure_block(drawn))
    panels, chosen = [], 0
    best = best_layers(summary, "auroc_heldout")
    for (layer, language), rows in summary.groupby(["layer", "language"], sort=True):
        rows = _with_intervals(rows, {"interval": ("lo", "hi")}).sort_values("auroc_heldout", ascending=False)
        columns = {
            "emotion": "emotion",
            "feature": "feature",
            "auroc_heldout": "held-out AUROC",
            "interval": "interval",
            "confirmed": "confirmed",
            "dense_auroc": "dense direction",
            "specificity": "specificity",
            "coverage": "coverage",
            "n_words": "held out",
        }
        name = f"layer {layer}, {language_name(language)}"
        parts = [table_block(rows, columns, digits={"n_words": 0}, caption=f"Top feature of every emotion, {name}")]
        if study.has("selected"):
            of = study.frame("selected")
            of = of[(of["layer"] == layer) & (of["language"] == language)]
            if len(of):
                parts.append(figure_block(feature_heatmap(of, title=f"Top features of every emotion, {name}")))
        if best.get(str(language)) == layer and language == next(iter(best)):
            chosen = len(panels)
        panels.append((name, parts))
    blocks.append(choice_block("Layer and language", panels, chosen))
    return blocks


_COMPONENTS_LINE = (
    "Each point: how closely the best principal component of that layer follows people's ratings of the emotions. "
    "Shaded: its interval. The best of several components is above zero by chance alone; see the p-values."
)


_MOST_BANDS = 4


def _alignment_curves(alignment: Any) -> list[dict[str, Any]]:
    import pandas as pd

    from emotion_interp.figures import layer_curves

    several = alignment["kind"].nunique() > 1
    curves: dict[str, list[tuple[Any, ...]]] = {"components": [], "rsa": []}
    for _, row in alignment.iterrows():
        of = language_name(row["language"]) + (f" {row['kind']}" if several else "")
        for name in ("valence", "arousal"):
            low, high = row[f"{name}_lo"], row[f"{name}_hi"]
            if row[f"{name}_r"] < 0:
                # the sign of a component is arbitrary: show the size of r, and turn the interval with it
                low, high = -high, -low
            curves["components"].append((row["layer"], f"{name}, {of}", abs(row[f"{name}_r"]), low, high))
        curves["rsa"].append((row["layer"], of, row["rsa_rho"], row["rsa_lo"], row["rsa_hi"]))
    blocks = []
    for key, title, y_title, how in (
        (
            "components",
            "Best principal component by layer",
            "|r| with human ratings",
            _COMPONENTS_LINE,
        ),
        (
            "rsa",
            "Agreement of distances by layer",
            "rank correlation (rho)",
            "Above zero: emotions that people find alike are alike in the model. Shaded: interval over emotions.",
        ),
    ):
        frame: Any = pd.DataFrame(curves[key], columns=["layer", "series", "value", "lo", "hi"]).dropna(
            subset=["value"]
        )
        if frame["series"].nunique() > _MOST_BANDS:
            # more bands than this hide one another; the intervals stand in the table below
            frame = frame.drop(columns=["lo", "hi"])
            how = how.split(" Shaded:")[0] + how.partition(" Shaded: its interval.")[2]
        if len(frame):
            blocks.append(figure_block(layer_curves(frame, title=title, y_title=y_title, how_to_read=how)))
    return blocks


def geometry_blocks(study: StudyData) -> list[dict[str, Any]]:
    """Curves over layers, the circumplex and the components per layer, and every test in one table."""
    from emotion_interp.figures import circumplex, pc_heatmap

    blocks: list[dict[str, Any]] = []
    best: dict[str, int] = {}
    if study.has("alignment"):
        alignment = study.frame("alignment")
        best = best_layers(alignment.assign(size=alignment["valence_r"].abs()), "size")
        blocks += _alignment_curves(alignment)
    if study.has("circumplex_points"):
        panels, chosen = [], 0
        for (layer, language), rows in study.frame("circumplex_points").groupby(["layer", "language"], sort=True):
            name = f"layer {layer}, {language_name(language)}"
            if best and language == next(iter(best)) and best[str(language)] == layer:
                chosen = len(panels)
            panels.append((name, [figure_block(circumplex(rows, title=f"Human and model circumplex, {name}"))]))
        blocks.append(choice_block("Layer and language", panels, chosen))
    if study.has("pcs"):
        groups = list(study.frame("pcs").groupby("language", sort=False))
        panels = [
            (
                language_name(language),
                [figure_block(pc_heatmap(rows, title=f"Principal components, {language_name(language)}"))],
            )
            for language, rows in groups
        ]
        blocks += [choice_block("Language", panels)] if len(panels) > 1 else panels[0][1]
    if study.has("alignment"):
        blocks.append(_alignment_table(study.frame("alignment")))
    return blocks


def _alignment_table(alignment: Any) -> dict[str, Any]:
    rows = _with_intervals(
        alignment,
        {
            "valence_ci": ("valence_lo", "valence_hi"),
            "arousal_ci": ("arousal_lo", "arousal_hi"),
            "rsa_ci": ("rsa_lo", "rsa_hi"),
        },
    )
    columns = {"layer": "layer", "language": "language", "kind": "space", "n_emotions": "emotions"}
    for name in ("valence", "arousal"):
        columns |= {f"{name}_pc": f"{name} PC", f"{name}_r": f"{name} r", f"{name}_ci": "interval"}
        columns |= {f"{name}_p": "p", f"{name}_p_layers": "p over layers"}
    columns |= {"rsa_rho": "RSA rho", "rsa_ci": "interval", "rsa_p": "p"}
    columns |= {"procrustes_disparity": "Procrustes disparity", "procrustes_p": "p"}
    columns |= {"readout_valence_r": "read-out valence r", "readout_valence_p": "p"}
    columns |= {"readout_arousal_r": "read-out arousal r", "readout_arousal_p": "p"}
    columns |= {"circumplex_r": "circumplex order r", "circumplex_p": "p"}
    digits = {c: 3 for c in columns if c.endswith(("_p", "_p_layers"))}
    digits |= {"valence_pc": 0, "arousal_pc": 0, "n_emotions": 0}
    table = table_block(rows, columns, digits=digits, caption="Every test of the geometry")
    return {"type": "details", "summary": "All tests, layer by layer", "blocks": [table]}


def ratings_blocks(study: StudyData) -> list[dict[str, Any]]:
    """Curves over layers per dimension and pair of languages, and the table."""
    from emotion_interp.figures import layer_curves

    ratings = study.frame("ratings")
    panels = []
    for (train, test), rows in ratings.groupby(["train_language", "test_language"], sort=False):
        name = language_name(test) if train == test else f"{language_name(train)} to {language_name(test)}"
        parts = []
        for dimension, of in rows.dropna(subset=["r"]).groupby("dimension", sort=False):
            frame = of.assign(series=of["feature_set"], value=of["r"])[["layer", "series", "value"]]
            parts.append(
                figure_block(
                    layer_curves(
                        frame,
                        title=f"Predicted {dimension} of words, {name}",
                        y_title="r with human ratings",
                        how_to_read="One line per set of features; “outside” are as many features outside the "
                        "emotion space, matched for firing rate. Cross-validated over words.",
                    )
                )
            )
        columns = {
            "layer": "layer",
            "dimension": "dimension",
            "feature_set": "features",
            "r": "r",
            "r_over_ceiling": "r / ceiling",
            "rho": "rho",
            "r2": "R²",
            "mae": "mean abs. error",
            "n_words": "words",
            "n_features": "number of features",
        }
        table = table_block(rows, columns, digits={"n_words": 0, "n_features": 0}, caption=f"Rating prediction, {name}")
        parts.append({"type": "details", "summary": "All numbers", "blocks": [table]})
        panels.append((name, parts))
    return [choice_block("Words", panels)] if len(panels) > 1 else panels[0][1]


def _steering_test(frame: Any) -> list[dict[str, Any]]:
    """One table per method: each emotion at the layer and dose that other prompts fixed."""
    panels = []
    groups = [(str(method), rows) for method, rows in frame.groupby("method", sort=False)]
    if frame["chosen"].notna().any():
        best = frame[frame["chosen"].astype("boolean").fillna(False).to_numpy(dtype=bool)]
        groups.insert(0, ("the emotion's best", best.assign(p_holm=best["p_holm_chosen"])))
    for method, rows in groups:
        rows = rows.assign(random=_joined(rows, "random_lo", "random_hi", digits=4)).sort_values(["p", "emotion"])
        columns = {
            "emotion": "emotion",
            "method": "directions",
            "layer": "layer",
            "dose": "dose",
            "target_unsteered": "unsteered",
            "target": "steered",
            "random": "random directions",
            "p": "p",
            "p_holm": "p (Holm)",
            "perplexity_ratio": "perplexity ratio",
            "distinct2_ratio": "distinct-2 ratio",
        }
        caption = (
            f"Probability of the emotion's words after neutral prompts, steered with {method} directions; layer, dose (and "
            "the best kind of direction) were fixed on other prompts"
        )
        digits = {"target": 4, "target_unsteered": 4, "p": 3, "p_holm": 3}
        panels.append((str(method), [table_block(rows, columns, digits=digits, caption=caption)]))
    return [choice_block("Directions", panels)] if len(panels) > 1 else panels[0][1]


def steering_blocks(study: StudyData) -> list[dict[str, Any]]:
    """The test or the dose-response curves, and the texts."""
    from emotion_interp.figures import dose_curves

    blocks: list[dict[str, Any]] = []
    if study.has("steering"):
        panels = []
        frame = study.frame("steering")
        # an emotion without a usable direction or coherent dose has a row, but nothing to draw
        frame = frame[frame["target"].notna()]
        if frame.groupby(["emotion", "method"])["dose"].nunique().max() == 1:
            # one cell for each emotion: there is no curve to draw
            blocks += _steering_test(frame)
            frame = frame[:0]
        for (method, layer), rows in frame.groupby(["method", "layer"], sort=False, dropna=False):
            name = str(method) + (f", layer {int(layer)}" if layer == layer else "")
            given = rows if rows["lo"].notna().any() else rows.drop(columns=["lo", "hi"])
            parts = [figure_block(dose_curves(given, title=f"Steering with {name}"))]
            columns = {
                "emotion": "emotion",
                "dose": "dose",
                "target": "target probability",
                "target_unsteered": "unsteered",
                "random_hi": "random, upper",
                "p": "p",
                "p_holm": "p (Holm)",
                "perplexity_ratio": "perplexity ratio",
                "distinct2_ratio": "distinct-2 ratio",
            }
            table = table_block(rows, columns, digits={"p": 3, "p_holm": 3}, caption=f"Steering with {name}")
            panels.append((name, [*parts, {"type": "details", "summary": "All numbers", "blocks": [table]}]))
        blocks += [choice_block("Method", panels)] if len(panels) > 1 else [b for _, some in panels for b in some]
    if study.has("steered_text"):
        texts = study.frame("steered_text")
        shown = [
            {key: str(row[key]) for key in ("emotion", "prompt", "unsteered", "steered")}
            | {"note": ", ".join(f"{key} {cell(row[key])}" for key in ("dose", "layer") if row[key] == row[key])}
            for _, row in texts.iterrows()
        ]
        blocks.append({"type": "texts", "texts": shown})
    return blocks


SECTIONS: tuple[tuple[str, str, tuple[str, ...], Callable[[StudyData], list[dict[str, Any]]], str], ...] = (
    ("features", "Features per layer", ("summary",), features_blocks, "No features were searched for."),
    (
        "geometry",
        "Geometry: the model's emotion space and people's",
        ("alignment", "circumplex_points", "pcs"),
        geometry_blocks,
        "The geometry was not compared with human ratings.",
    ),
    ("ratings", "Ratings of words", ("ratings",), ratings_blocks, "Word ratings were not predicted."),
    ("steering", "Steering", ("steering", "steered_text"), steering_blocks, "Nothing was steered."),
)
