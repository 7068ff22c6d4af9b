"""Labelled texts for the bundled judges, read from a data folder; labels are mapped onto the 28 emotions."""

from __future__ import annotations

import csv
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
from emotion_interp.core.errors import FileFormatError, UnknownNameError
from emotion_interp.core.reading import damage_named, read_text
from emotion_interp.core.spelling import as_text
from emotion_interp.training.balanced import is_evaluation_subtitle

__all__ = [
    "CORPUS_JUDGES",
    "LABEL_NAMES",
    "NEUTRAL",
    "NO_EMOTION",
    "STORY_NAMES",
    "LabelledText",
    "corpus_texts",
    "judge_texts",
]

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


CORPUS_JUDGES: dict[str, tuple[str, ...]] = {
    "stories": ("en",),
    "smp": ("zh",),
    "brighter": ("zh", "es"),
    "xed": ("es",),
}
"""Judges that have read one corpus alone -> their languages; two of a language share no text."""

_BRIGHTER = {"zh": "chn", "es": "esp"}
_XED_LABELS = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")


def corpus_texts(data: str | Path, corpus: str, language: str) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training texts of one corpus, and held-out texts of it and of the language's other corpora.

    stories: topics 64-71, held out 72-79. smp: virus train, held out usual test. brighter: train, held out test. xed:
    subtitles, held out one line in five, by a hash of its text (the same lines on which no SAE of the project is trained).

    Args:
        data: a folder with `labelled/` and `corpora/`.
        corpus: "stories", "smp", "brighter", "xed".
        language: one of its languages, see `CORPUS_JUDGES`.

    Raises:
        FileFormatError: a file is missing.
        UnknownNameError: another corpus or language.
    """
    if corpus not in CORPUS_JUDGES:
        raise UnknownNameError("corpus of a judge", corpus, CORPUS_JUDGES)
    if language not in CORPUS_JUDGES[corpus]:
        raise UnknownNameError(f"language of the corpus {corpus!r}", language, CORPUS_JUDGES[corpus])
    root = Path(data)
    labelled = root / "labelled"
    if corpus == "stories":
        told = list(read_stories(root / "corpora" / "emotion_stories.jsonl.gz"))
        _, test = judge_texts(data, "en", stories=False)
        return [text for topic, text in told if topic in TRAINING_TOPICS], test
    brighter = list(read_brighter(labelled, "test", _BRIGHTER[language]))
    if language == "zh":
        train = _smp(labelled, "virus_train") if corpus == "smp" else read_brighter(labelled, "train", "chn")
        return list(train), [*brighter, *_smp(labelled, "usual_test_labeled")]
    subtitles, held_out = _xed(labelled / "xed" / "es-projections.tsv")
    train = subtitles if corpus == "xed" else read_brighter(labelled, "train", "esp")
    return list(train), [*brighter, *held_out]


def _xed(path: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """Training and held-out subtitles; a line that names only anticipation or trust says nothing of our emotions."""
    sides: tuple[list[LabelledText], list[LabelledText]] = ([], [])
    # a subtitle of several lines stands in quotes
    for number, row in enumerate(
        csv.reader(read_text(existing_file(path)).splitlines(keepends=True), delimiter="\t"), 1
    ):
        try:
            text, labels = row
            names = [_XED_LABELS[int(label) - 1] for label in labels.split(",") if int(label) > 0]
        except (ValueError, IndexError):
            raise FileFormatError(
                f"{path}, row {number}: a text and labels 1-{len(_XED_LABELS)} after a tab are needed, got {row!r:.60}."
            ) from None
        emotions = mapped_labels(name for name in names if name not in ("anticipation", "trust"))
        if emotions:
            sides[is_evaluation_subtitle(text)].append(LabelledText(text, emotions, "XED"))
    return sides


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
