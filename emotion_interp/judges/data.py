"""Labelled texts for the bundled judges, read from a data folder; labels are mapped onto the 28 emotions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from emotion_interp.concepts.corpora import (
    LABEL_NAMES,
    NEUTRAL,
    NO_EMOTION,
    STORY_NAMES,
    STORY_TOPICS,
    LabelledText,
    existing_file,
    mapped_labels,
    read_brighter,
    read_goemotions,
    read_stories,
)
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.reading import damage_named
from emotion_interp.core.spelling import as_text

__all__ = ["LABEL_NAMES", "NEUTRAL", "NO_EMOTION", "STORY_NAMES", "LabelledText", "judge_texts"]

TRAINING_TOPICS = STORY_TOPICS["train"]
"""Story topics for judges; the subject is trained on topics 0-63 and never sees these."""

TEST_TOPICS = STORY_TOPICS["test"]


def judge_texts(data: str | Path, language: str, stories: bool = True) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and held-out texts of a language.

    English: emotion stories (topics 64-71; held out 72-79), GoEmotions (train; test), BRIGHTER (train; dev, as its
    test labels are not there), ISEAR (whole persons held out: every fifth). Chinese: SMP2020 (virus train; usual test), BRIGHTER chn (train; test).

    Args:
        data: a folder with `labelled/` and `corpora/`.
        language: "en" or "zh".
        stories: whether English stories are trained on; they are held out either way.

    Raises:
        FileFormatError: a file is missing.
        UnknownNameError: another language.
    """
    root = Path(data)
    if language == "en":
        labelled = root / "labelled"
        told = list(read_stories(root / "corpora" / "emotion_stories.jsonl.gz"))
        people, held_people = _isear(labelled / "isear" / "isear.csv")
        train = [t for topic, t in told if stories and topic in TRAINING_TOPICS]
        train += [*read_goemotions(labelled, "train"), *read_brighter(labelled, "train", "eng"), *people]
        test = [t for topic, t in told if topic in TEST_TOPICS]
        return train, [*test, *read_goemotions(labelled, "test"), *read_brighter(labelled, "dev", "eng"), *held_people]
    if language == "zh":
        labelled = root / "labelled"
        train = [*_smp(labelled, "virus_train"), *read_brighter(labelled, "train", "chn")]
        return train, [*read_brighter(labelled, "test", "chn"), *_smp(labelled, "usual_test_labeled")]
    raise UnknownNameError("language of a bundled judge", language, ("en", "zh"))


def _isear(path: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and held-out situations; there is no official split, so every fifth person is held out."""
    lines = existing_file(path).read_text(encoding="utf-8", errors="replace").splitlines()
    sides: tuple[list[LabelledText], list[LabelledText]] = ([], [])
    with damage_named(path):
        header = lines[0].split("|")
        person, emotion, text = header.index("ID"), header.index("Field1"), header.index("SIT")
        for line in lines[1:]:
            cells = line.split("|")
            if len(cells) > text and not cells[text].startswith("[") and cells[emotion].isalpha():
                side = sides[int(cells[person]) % 5 == 0]
                side.append(LabelledText(cells[text].replace("á", ""), mapped_labels([cells[emotion]]), "ISEAR"))
    return sides


def _smp(labelled: Path, name: str) -> Iterable[LabelledText]:
    path = existing_file(labelled / "smp2020" / f"{name}.json")
    with damage_named(path):
        for number, post in enumerate(json.loads(path.read_text(encoding="utf-8")), 1):
            yield LabelledText(
                as_text(post["content"], f"{path}, post {number}"), mapped_labels([post["label"]]), "SMP2020"
            )
