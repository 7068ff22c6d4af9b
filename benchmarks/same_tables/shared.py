"""What several tables start from, each made once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei

EMOTIONS = ["anger", "fear", "joy", "sadness", "calm", "disgust"]
PAIR = ["joy", "sadness"]
PROMPTS = {
    "en": (
        ["When the train arrived, she was", "The letter said that he"],
        ["That evening the old man", "In the room they"],
    ),
    "zh": (["火车到站的时候，她", "信上说，他"], ["那天晚上，老人", "房间里，他们"]),
}
TEXTS = [
    "She opened the letter and began to weep, for her brother would never come home again.",
    "He laughed out loud and danced around the kitchen because they had won.",
    "Something moved in the dark behind her, and she was too frightened to scream.",
    "The table is made of wood and stands beside the window.",
]
CHINESE = [
    "她打开信，眼泪流了下来，因为哥哥再也不会回家了。",
    "他非常生气，大声地骂了起来。",
    "桌子是木头做的，放在窗边。",
]


def default(function: Any, parameter: str, **changes: Any) -> Any:
    """The options object that a public function takes by default, with changes: its class need not be public."""
    return replace(inspect.signature(function).parameters[parameter].default, **changes)


@cache
def subject() -> Any:
    return ei.load_subject()


@cache
def bank() -> Any:
    """The bank that ships for the bundled subject."""
    return ei.shipped_bank(subject())


@cache
def concepts() -> Any:
    return ei.concept_set("en") | ei.concept_set("zh")


@cache
def few() -> Any:
    """Six emotions in two languages."""
    return concepts().subset(emotions=EMOTIONS)


@cache
def words_bank() -> Any:
    """Found now, on words in carriers, at every layer."""
    return ei.find_features(subject(), few())


@cache
def scenes_bank() -> Any:
    """Found now, on the shipped scenes, at one layer."""
    # so few texts pass no strict threshold, and what is made of selected features needs some
    chosen = default(ei.find_features, "selection", max_q=0.5, min_coverage=0.1, min_specificity=0.5)
    return ei.find_features(subject(), few(), [2], stimuli="scenes", selection=chosen)


@cache
def own_norms() -> Any:
    """Ratings of every concept word, drawn from the word itself: small, and nobody's."""
    words = sorted({w for e in concepts().emotions for w in concepts().words(e, "en")})
    draws = np.random.default_rng(0).normal(5, 1.5, size=(len(words), 2)).clip(1, 9)
    frame = pd.DataFrame({"word": words, "valence": draws[:, 0], "arousal": draws[:, 1]})
    return ei.Norms("own", "en", frame, (1.0, 9.0))


def data() -> Path | None:
    """The folder that EMOTION_INTERP_DATA names."""
    named = os.environ.get("EMOTION_INTERP_DATA")
    return Path(named) if named else None


def shipped_folders() -> list[Path]:
    """Every bank of saved_features, in the checkout or in the installed package."""
    package = Path(ei.__file__).parent
    roots = [p for p in (package.parent / "saved_features", package / "saved_features") if p.is_dir()]
    return sorted({m.parent for m in roots[0].rglob("manifest.json")}) if roots else []


def bank_parts(bank: Any) -> Iterator[tuple[str, Any]]:
    """Every table, direction and scale of a bank."""
    for name in ("features", "summary", "words", "activations", "rates"):
        yield name, lambda name=name: getattr(bank, name)
    for name in sorted(bank.extras):
        yield f"extra_{name}", lambda name=name: bank.extras[name]
    yield "table", lambda: full_table(bank)
    yield "table_selected", lambda: full_table(bank, selected=True)
    yield "to_frame", bank.to_frame
    yield "scales", lambda: {str(site): float(scale) for site, scale in bank.scales.items()}
    yield "names", lambda: [bank.emotions, bank.languages, bank.methods, [str(s) for s in bank.sites], bank.layers]
    yield "directions", lambda: directions(bank)
    yield "held_out_words", lambda: {x: {e: bank.held_out_words(e, x) for e in bank.emotions} for x in bank.languages}


def full_table(bank: Any, **options: Any) -> Any:
    """`bank.table()` with every column, also where that has become a choice."""
    for every in ({"columns": "all"}, {}):
        try:
            return bank.table(**options, **every)
        except ei.EmotionInterpError:
            continue
    raise ValueError("bank.table() refuses to show itself")


def at(bank: Any, layer: int) -> Any:
    """A bank's directions at one layer alone, for `directions`."""
    return SimpleNamespace(
        sites=[bank.site(layer)],
        emotions=bank.emotions,
        languages=bank.languages,
        methods=bank.methods,
        direction=bank.direction,
    )


def directions(bank: Any, methods: list[str] | None = None) -> pd.DataFrame:
    """One row for each direction, with its SHA-256 and every float of it; one that a bank refuses is a row without."""
    from hashlib import sha256

    rows, vectors = [], []
    for site in bank.sites:
        for language in bank.languages:
            for method in methods or bank.methods:
                for emotion in bank.emotions:
                    key = {"site": str(site), "language": language, "method": method, "emotion": emotion}
                    try:
                        vector = np.asarray(bank.direction(emotion, site, language, method).vector, dtype=np.float32)
                    except ei.EmotionInterpError:
                        rows.append({**key, "sha256": None})
                        vectors.append(None)
                        continue
                    rows.append({**key, "sha256": sha256(vector.tobytes()).hexdigest()})
                    vectors.append(vector)
    width = max((len(v) for v in vectors if v is not None), default=0)
    empty = np.full(width, np.nan, dtype=np.float32)
    floats = pd.DataFrame(np.stack([empty if v is None else v for v in vectors]))
    return pd.concat([pd.DataFrame(rows), floats.set_axis([f"v{i:05d}" for i in range(width)], axis=1)], axis=1)
