"""Necessity: emotion features of the bundled subject ablated in emotional stories it never read, against rate-matched ones.

`EMOTION_INTERP_DATA=... python -m benchmarks.necessity`: stories of topics 72-79, broken off after 30 words; the 16
features that the bank's discovery half ranks first for an emotion at layers 1 and 2, judged by the next word.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from emotion_interp.features import shipped_bank
from emotion_interp.features.scores import holm
from emotion_interp.steering.judge_data import STORY_NAMES, TEST_TOPICS
from emotion_interp.study.settings import BASIC_EIGHT

WORDS, TEXTS, FEATURES, RANDOM, LAYERS = 30, 16, 16, 199, (1, 2)


def stories(data: Path) -> dict[str, list[str]]:
    """Emotion -> beginnings of held-out stories."""
    names = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(data / "corpora" / "emotion_stories.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            story: dict[str, Any] = json.loads(line)
            if story["topic_idx"] in TEST_TOPICS and story["emotion"] in names:
                found[names[story["emotion"]]].append(" ".join(story["text"].split()[:WORDS]))
    # every so manieth, so that all topics have a part
    return {e: texts[:: max(1, len(texts) // TEXTS)][:TEXTS] for e, texts in found.items()}


def main() -> None:
    subject = ei.load_subject()
    bank = shipped_bank(subject)
    assert bank is not None
    texts = stories(Path(os.environ["EMOTION_INTERP_DATA"]))
    rows = []
    for emotion in BASIC_EIGHT:
        for layer in LAYERS:
            chosen = bank.table(emotion, layer, "en")["feature"].head(FEATURES).tolist()
            try:
                row = ei.necessity(
                    subject, bank, emotion, texts[emotion], layer=layer, n_random=RANDOM, features=chosen
                )
            except EmotionInterpError as error:
                print(f"{emotion}, layer {layer}: {error}")
                continue
            rows.append(row)
    frame: Any = pd.concat(rows, ignore_index=True)
    frame["share"] = frame["drop"] / frame["target"]
    frame["p_holm"] = frame.groupby("layer")["p"].transform(lambda p: holm(p.to_numpy(dtype=float)))
    columns = ["emotion", "layer", "n_features", "n_texts", "rate", "target", "target_ablated", "drop", "lo", "hi"]
    print(frame[[*columns, "random_drop", "random_hi", "share", "p", "p_holm"]].round(5).to_string(index=False))


if __name__ == "__main__":
    main()
