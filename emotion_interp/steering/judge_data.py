"""Labelled texts for the bundled judges, read from a data folder; labels are mapped onto the 28 emotions."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import FileFormatError, UnknownNameError

NEUTRAL = "neutral"

TRAINING_TOPICS = range(64, 72)
"""Story topics for judges; the subject is trained on topics 0-63 and never sees these."""

TEST_TOPICS = range(72, 80)

STORY_NAMES: dict[str, tuple[str, ...]] = {
    "amusement": ("amused",),
    "anger": ("angry", "furious", "enraged", "irate", "mad"),
    "anxiety": ("anxious", "nervous", "worried", "uneasy", "on edge"),
    "awe": ("awestruck",),
    "boredom": ("bored",),
    "calm": ("calm", "peaceful", "serene", "relaxed", "at ease"),
    "compassion": ("compassionate", "empathetic", "sympathetic"),
    "contempt": ("contemptuous", "disdainful", "scornful"),
    "disgust": ("disgusted",),
    "embarrassment": ("embarrassed",),
    "envy": ("envious", "jealous"),
    "excitement": ("excited", "thrilled", "enthusiastic", "eager"),
    "fear": ("afraid", "frightened", "scared", "terrified"),
    "gratitude": ("grateful", "thankful"),
    "guilt": ("guilty", "remorseful"),
    "hope": ("hope", "hopeful", "optimistic"),
    "joy": ("happy", "joyful", "delighted", "elated"),
    "loneliness": ("lonely",),
    "love": ("loving",),
    "nostalgia": ("nostalgic",),
    "pride": ("proud",),
    "relief": ("relieved",),
    "sadness": ("sad", "unhappy", "heartbroken", "grief-stricken", "melancholy"),
    "shame": ("ashamed", "humiliated"),
    "surprise": ("surprised", "astonished"),
}
"""Emotion -> the story corpus's names for it. No story is about admiration, desire or disappointment."""

LABEL_NAMES: dict[str, str] = {
    "angry": "anger",
    "annoyance": "anger",
    "caring": "compassion",
    "grief": "sadness",
    "happy": "joy",
    "nervousness": "anxiety",
    "optimism": "hope",
    "remorse": "guilt",
    "sad": "sadness",
}
"""Labels of the public classifiers and data sets -> emotion, where the names differ."""

NO_EMOTION = ("approval", "confusion", "curiosity", "disapproval", "realization")
"""GoEmotions labels without a counterpart; texts with nothing else are left out."""


@dataclass(frozen=True)
class LabelledText:
    """A text, the emotions it has (none: neutral), and the data set it is from."""

    text: str
    emotions: tuple[str, ...]
    source: str


def judge_texts(data: str | Path, language: str) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and held-out texts of a language.

    English: emotion stories (topics 64-71; held out 72-79), GoEmotions (train; test), BRIGHTER (train; dev, as its
    test labels are not there), ISEAR (whole persons held out: every fifth). Chinese: SMP2020 (virus train; usual test), BRIGHTER chn (train; test).

    Args:
        data: a folder with `labelled/` and `corpora/`.
        language: "en" or "zh".

    Raises:
        FileFormatError: a file is missing.
        UnknownNameError: another language.
    """
    root = Path(data)
    if language == "en":
        labelled = root / "labelled"
        stories = list(_stories(root / "corpora" / "emotion_stories.jsonl.gz"))
        people, held_people = _isear(labelled / "isear" / "isear.csv")
        train = [t for topic, t in stories if topic in TRAINING_TOPICS]
        train += [*_goemotions(labelled, "train"), *_brighter(labelled, "train", "eng"), *people]
        test = [t for topic, t in stories if topic in TEST_TOPICS]
        return train, [*test, *_goemotions(labelled, "test"), *_brighter(labelled, "dev", "eng"), *held_people]
    if language == "zh":
        labelled = root / "labelled"
        train = [*_smp(labelled, "virus_train"), *_brighter(labelled, "train", "chn")]
        return train, [*_brighter(labelled, "test", "chn"), *_smp(labelled, "usual_test_labeled")]
    raise UnknownNameError("language of a bundled judge", language, ("en", "zh"))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give the folder that holds labelled/ and corpora/.")
    return path


def _stories(path: Path) -> Iterable[tuple[int, LabelledText]]:
    names = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    with gzip.open(_existing(path), "rt", encoding="utf-8") as lines:
        for line in lines:
            story: Mapping[str, Any] = json.loads(line)
            if story["emotion"] in names:
                yield story["topic_idx"], LabelledText(story["text"], (names[story["emotion"]],), "stories")


def _mapped(labels: Iterable[str]) -> tuple[str, ...]:
    named = [LABEL_NAMES.get(label, label) for label in labels]
    return tuple(dict.fromkeys(n for n in named if n != NEUTRAL and n not in NO_EMOTION))


def _goemotions(labelled: Path, split: str) -> Iterable[LabelledText]:
    folder = labelled / "goemotions"
    names = _existing(folder / "labels.txt").read_text(encoding="utf-8").split()
    for line in _existing(folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
        text, numbers, _ = line.rsplit("\t", 2)
        labels = [names[int(n)] for n in numbers.split(",")]
        emotions = _mapped(labels)
        if emotions or labels == [NEUTRAL]:
            yield LabelledText(text, emotions, "GoEmotions")


def _brighter(labelled: Path, split: str, language: str) -> Iterable[LabelledText]:
    import pandas as pd

    frame: Any = pd.read_csv(_existing(labelled / "brighter" / "track_a" / split / f"{language}.csv"))
    columns = [c for c in frame.columns if c not in ("id", "text")]
    # the English test file came without its labels
    frame = frame.dropna(subset=columns)
    for record in frame.to_dict("records"):
        yield LabelledText(str(record["text"]), _mapped(c for c in columns if record[c] == 1), "BRIGHTER")


def _isear(path: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and held-out situations; there is no official split, so every fifth person is held out."""
    lines = _existing(path).read_text(encoding="utf-8", errors="replace").splitlines()
    header = lines[0].split("|")
    person, emotion, text = header.index("ID"), header.index("Field1"), header.index("SIT")
    sides: tuple[list[LabelledText], list[LabelledText]] = ([], [])
    for line in lines[1:]:
        cells = line.split("|")
        if len(cells) > text and not cells[text].startswith("[") and cells[emotion].isalpha():
            side = sides[int(cells[person]) % 5 == 0]
            side.append(LabelledText(cells[text].replace("á", ""), _mapped([cells[emotion]]), "ISEAR"))
    return sides


def _smp(labelled: Path, name: str) -> Iterable[LabelledText]:
    posts = json.loads(_existing(labelled / "smp2020" / f"{name}.json").read_text(encoding="utf-8"))
    for post in posts:
        yield LabelledText(post["content"], _mapped([post["label"]]), "SMP2020")
