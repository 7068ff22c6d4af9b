"""Directions added to a running subject, and how the text is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table
from benchmarks.same_tables.shared import CHINESE, PAIR, PROMPTS, TEXTS, bank, few, scenes_bank, subject, words_bank

TUNE, TEST = PROMPTS["en"]
POSITIONS = ("all", "prompt", "generated", "from_last_prompt_token", 3)
CHOICES = pd.DataFrame({"emotion": PAIR, "layer": [2, 1], "method": ["sae", "dense"], "dose": [0.4, 0.3]})
SHAPES = ("table", "tuning", "confusion", "texts", "nulls", "fit")


def _parts(result: Any, prefix: str = "") -> Parts:
    """Every frame that a result of steering carries."""
    yield f"{prefix}to_frame", result.to_frame
    for name in SHAPES:
        if hasattr(result, name):
            yield f"{prefix}{name}", lambda name=name: getattr(result, name)


@table
def steer_texts() -> Parts:
    for method in ("sae", "dense", "dense_clean"):
        joy = bank().direction("joy", layer=2, language="en", method=method)
        for positions in POSITIONS:
            with ei.steer(subject(), joy, dose=0.5, positions=positions):
                text = subject().generate(TUNE, max_new_tokens=8, do_sample=False)
            yield f"{method}_{positions}", text
    both = [bank().direction(e, layer=k, language="en", method="dense") for e, k in (("joy", 1), ("fear", 2))]
    with ei.steer(subject(), both, dose=[0.2, 0.3], positions="from_last_prompt_token", schedule="decay"):
        yield "schedule", subject().generate(TUNE, max_new_tokens=8, do_sample=True, seed=1)


@table
def steer_logits() -> Parts:
    ids = torch.tensor([subject().tokenize([TEXTS[0]])[0].ids])
    joy = bank().direction("joy", layer=1, language="en", method="dense")
    for positions in ("all", "prompt", 2):
        with ei.steer(subject(), joy, dose=0.5, positions=positions), torch.no_grad():
            yield f"logits_{positions}", subject().model(ids, return_type="logits")[0, -1]
    with torch.no_grad():
        hooked = subject().model.run_with_hooks(ids, return_type="logits", fwd_hooks=joy.hooks(dose=0.4))
    yield "own_hooks", hooked[0, -1]
    own = ei.Direction(np.arange(subject().d_model, dtype=np.float32) - 100, 2)
    with ei.steer(subject(), own, dose=0.3, positions="all", scale=50.0), torch.no_grad():
        yield "own_direction", subject().model(ids, return_type="logits")[0, -1]
    fear = bank().direction("fear", layer=1, language="en", method="dense")
    yield "sum", (joy + -fear).vector


@table
def dose_response() -> Parts:
    small: dict[str, Any] = {"layers": [2], "n_random": 19, "seed": 1}
    words = ei.dose_response(subject(), bank(), PAIR, [0.2, 0.5], TUNE, method=["dense", "sae"], **small)
    yield from _parts(words, "words_")
    small |= {"max_new_tokens": 8, "samples": 2, "do_sample": True, "kinds": ("isotropic", "decoder")}
    judges = {"stories": ei.load_judge(), "comments": ei.load_judge("comments")}
    texts = ei.dose_response(subject(), bank(), PAIR, [0.1, 0.2, 0.3, 0.5], TUNE, judge=judges, **small)
    yield from _parts(texts, "texts_")
    yield "windows", lambda: ei.stable_windows(texts)
    yield "monotonicity", lambda: ei.dose_monotonicity(texts)
    chinese = ei.dose_response(subject(), bank(), PAIR, [0.3], PROMPTS["zh"][0], layers=[1], language="zh", n_random=9)
    yield from _parts(chinese, "zh_")


@table
def steering_test() -> Parts:
    small: dict[str, Any] = {"layers": [1, 2], "doses": (0.2, 0.4), "n_random": 19, "tune_random": 5}
    yield from _parts(ei.steering_test(subject(), bank(), PAIR, TUNE, TEST, max_new_tokens=6, **small), "words_")
    small |= {"max_new_tokens": 6, "methods": ("dense",), "correction": "maxT", "judge": ei.load_judge(), "seed": 2}
    yield from _parts(ei.steering_test(subject(), bank(), PAIR, TUNE, TEST, **small), "text_")


@table
def steering_controls() -> Parts:
    shuffled = ei.shuffled_directions(subject(), few(), words_bank(), 2, seed=1)
    for site in sorted(shuffled, key=str):
        yield f"shuffled_{site}", np.asarray(shuffled[site])
    yield "shipped", ei.steering_controls(subject(), bank(), CHOICES, TEST, n_random=19)
    found = ei.steering_controls(
        subject(), words_bank(), CHOICES, TEST, n_random=9, shuffled=shuffled, max_new_tokens=4
    )
    yield "words", found


@table
def random_directions() -> Parts:
    kinds = ("isotropic", "decoder", "topics", "shuffled")
    scenes = ei.scene_stimuli(("en",), [*few().emotions])
    texts = ei.null_texts(subject(), scenes, [2])
    yield "values", lambda: next(iter(texts.values.values()))
    groups = ei.labelled_stimuli(
        [s.text for s in scenes], [s.emotion for s in scenes], "en", [i % 5 for i in range(len(scenes))]
    )
    for kind in kinds:
        given = ei.null_texts(subject(), groups, [2]) if kind == "topics" else texts
        drawn = ei.random_directions(subject(), 2, 8, (kind,), seed=1, texts=given)
        yield kind, drawn[kind].units


@table
def necessity() -> Parts:
    texts = ["She smiled at the sunny garden and felt so", "They laughed and sang because the day was", "He was very"]
    chosen = bank().table("joy", 2, "en")["feature"].head(4).astype(int).tolist()
    options: dict[str, Any] = {"layer": 2, "features": chosen, "n_random": 9, "null": ("matched", "scaled")}
    yield "words", ei.necessity(subject(), bank(), "joy", texts, tolerance=1.0, **options)
    judge = ei.load_judge()
    yield "text", ei.necessity(subject(), bank(), "joy", texts, judge, max_new_tokens=6, seed=1, **options)


@table
def cross_language() -> Parts:
    small: dict[str, Any] = {
        "layers": [2],
        "doses": (0.2, 0.4),
        "methods": ("dense",),
        "n_random": 9,
        "max_new_tokens": 0,
    }
    yield "own_prompts", ei.cross_language(subject(), bank(), PAIR, PROMPTS, **small)
    # the prompts that ship, in every language: one that changes moves these figures
    yield "shipped_prompts", ei.cross_language(subject(), bank(), PAIR, **small)


@table
def causal_universality() -> Parts:
    small: dict[str, Any] = {"layer": 2, "n_random": 9, "n_texts": 4, "siblings": {}}
    for first, second in (("en", "zh"), ("zh", "en")):
        result = ei.causal_universality(subject(), bank(), ei.scene_stimuli([second]), first, second, PAIR, **small)
        yield from ((f"{first}_{second}_{n}", getattr(result, n)) for n in ("to_frame", "matrix", "by_layer"))
    sets = ei.causal_universality(
        subject(), bank(), ei.scene_stimuli(["zh"]), "en", "zh", PAIR, method="features", k=8, measure="auroc", **small
    )
    yield "features", sets.to_frame


@table
def dial() -> Parts:
    for name, (valence, arousal) in {"pleasant": (1.0, 0.0), "excited": (0.5, 2.0)}.items():
        for method in ("dense", "sae"):
            yield f"{name}_{method}", ei.dial(bank(), valence, arousal, 2, method=method)
    small: dict[str, Any] = {"n_samples": 1, "max_new_tokens": 6, "n_null": 5}
    small |= {"valences": (-1.0, 1.0), "arousals": (-1.0, 0.0, 1.0)}
    yield from _parts(ei.dial_grid(subject(), bank(), TEST, layer=2, seed=1, **small), "grid_")
    grid, tuning = ei.dial_test(
        subject(), bank(), TUNE, TEST, layers=[1], doses=(0.1, 0.2), methods=("dense",), **small
    )
    yield from _parts(grid, "test_")
    yield "tuning", tuning


@table
def judges() -> Parts:
    for name, judge, texts in (
        ("stories_en", ei.load_judge(), TEXTS),
        ("stories_zh", ei.load_judge(language="zh"), CHINESE),
        ("comments", ei.load_judge("comments"), TEXTS),
    ):
        yield f"{name}_answers", judge.predict_proba(texts)
        yield f"{name}_emotions", list(judge.emotions)
        yield f"{name}_held_out", judge.to_frame
    for name in ("emobank", "emobank_comments"):
        judge = ei.load_judge(name)
        yield f"{name}_answers", np.asarray(judge.predict(TEXTS))


@table
def targeted_directions() -> Parts:
    made = ei.with_targeted_directions(
        subject(), scenes_bank(), [2], ["en"], n_vectors=12, max_new_tokens=4, prompts={"en": TUNE}
    )
    yield "directions", lambda: shared.directions(shared.at(made, 2), ["sae_ts"])
    # the prompts that ship
    chinese = ei.with_targeted_directions(subject(), scenes_bank(), [2], ["zh"], n_vectors=10, max_new_tokens=2)
    yield "shipped_prompts", lambda: shared.directions(shared.at(chinese, 2), ["sae_ts"])


@table
def trained_directions() -> Parts:
    trained = ei.train_directions(
        subject(), few(), scenes_bank(), [2], ["en"], steps=3, texts_per_step=2, n_tokens=24, seed=1
    )
    yield "table", trained.to_frame
    added = trained.add_to(scenes_bank())
    yield "directions", lambda: shared.directions(shared.at(added, 2), ["trained"])
