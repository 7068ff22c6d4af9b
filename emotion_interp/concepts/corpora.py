"""Labelled texts of public corpora and of a user's own file, as stimuli; labels are mapped onto the shipped emotions."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.concepts.scenes import labelled_stimuli
from emotion_interp.core import EmotionInterpError, FileFormatError, Stimulus, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.languages import detect_language
from emotion_interp.core.seeds import generator

CORPORA = ("stories", "goemotions", "brighter")

STORY_TOPICS = {"subject": range(64), "train": range(64, 72), "test": range(72, 80)}
"""Topics of the emotion stories by split: "subject" trains subjects and finds features, "train" trains judges, "test" is for
evaluation."""

BRIGHTER_LANGUAGES = {"en": "eng", "zh": "chn", "es": "esp"}

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


def existing_file(path: Path) -> Path:
    """The path, or an error that says what it should hold."""
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give the folder that holds labelled/ and corpora/.")
    return path


def read_stories(path: Path) -> Iterable[tuple[int, LabelledText]]:
    """(topic, story) of the emotion stories; stories whose emotion has no counterpart are left out."""
    names = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    with gzip.open(existing_file(path), "rt", encoding="utf-8") as lines:
        for line in lines:
            story: Mapping[str, Any] = json.loads(line)
            if story["emotion"] in names:
                yield story["topic_idx"], LabelledText(story["text"], (names[story["emotion"]],), "stories")


def mapped_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Emotions that public labels stand for; none for neutral."""
    named = [LABEL_NAMES.get(label, label) for label in labels]
    return tuple(dict.fromkeys(n for n in named if n != NEUTRAL and n not in NO_EMOTION))


def read_goemotions(labelled: Path, split: str) -> Iterable[LabelledText]:
    """GoEmotions comments of a split ("train", "dev", "test") with all their labels."""
    folder = labelled / "goemotions"
    names = existing_file(folder / "labels.txt").read_text(encoding="utf-8").split()
    for line in existing_file(folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
        text, numbers, _ = line.rsplit("\t", 2)
        labels = [names[int(n)] for n in numbers.split(",")]
        emotions = mapped_labels(labels)
        if emotions or labels == [NEUTRAL]:
            yield LabelledText(text, emotions, "GoEmotions")


def read_brighter(labelled: Path, split: str, language: str) -> Iterable[LabelledText]:
    """BRIGHTER texts of a split and a language of its own naming ("eng", "chn", "esp")."""
    import pandas as pd

    frame: Any = pd.read_csv(existing_file(labelled / "brighter" / "track_a" / split / f"{language}.csv"))
    columns = [c for c in frame.columns if c not in ("id", "text")]
    # the English test file came without its labels
    frame = frame.dropna(subset=columns)
    for record in frame.to_dict("records"):
        yield LabelledText(str(record["text"]), mapped_labels(c for c in columns if record[c] == 1), "BRIGHTER")


@checked
def corpus_stimuli(
    corpus: str | Path,
    language: str | None = None,
    *,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    data: str | Path | None = None,
) -> list[Stimulus]:
    """Labelled texts as stimuli, for `find_features(stimuli=...)` and `transfer`.

    Only texts with one emotion are taken; those without any are the neutral class.

    Args:
        corpus: "stories" (short stories that never name the emotion; no neutral ones; grouped by topic), "goemotions"
            (Reddit comments), "brighter" (tweets and news), or the path of a CSV with columns text and emotion,
            optionally language and group (texts of one group stay on one side of a split).
        language: language of the texts; of a CSV with a language column, the one to keep.
        split: "train", "dev" or "test", or several joined, "dev+test"; of stories "subject", "train" or "test" (see
            `STORY_TOPICS`); a CSV has none. Where the English test file of BRIGHTER lacks its labels, use "dev".
        limit: at most this many texts of each emotion, drawn at random.
        seed: of that draw.
        data: folder with `labelled/` and `corpora/`; default: the one that EMOTION_INTERP_DATA names.

    Raises:
        UnknownNameError: a corpus, language or split that is not there.
        FileFormatError: files or columns are missing, or no text is left.
        EmotionInterpError: no data folder is named, or `limit` is below 1.

    Example:
        >>> stimuli = corpus_stimuli("goemotions", limit=100)  # doctest: +SKIP
        >>> own = corpus_stimuli("my_texts.csv")  # doctest: +SKIP
    """
    if limit is not None and limit < 1:
        raise EmotionInterpError(f"limit is the number of texts kept of each emotion, at least 1; got {limit}.")
    if isinstance(corpus, Path) or corpus.endswith((".csv", ".tsv")):
        texts, language = _read_csv(Path(corpus), language)
    elif corpus not in CORPORA:
        raise UnknownNameError("corpus", corpus, (*CORPORA, "a path ending in .csv"))
    else:
        if language is None and corpus == "brighter":
            raise EmotionInterpError(f"brighter has several languages; give language= one of {[*BRIGHTER_LANGUAGES]}.")
        language = language or "en"
        texts = _read_corpus(corpus, language, split, _data_folder(data))
    chosen = _limited(texts, limit, seed)
    if not chosen:
        raise FileFormatError(f"{corpus} holds no {language!r} text with exactly one emotion, or neutral.")
    # a text that is there twice stays on one side of a split
    first: dict[str, int] = {}
    places = [first.setdefault(text, i) for i, (text, _, _) in enumerate(chosen)]
    groups = [group if group is not None else f"{corpus} {i}" for i, (_, _, group) in zip(places, chosen, strict=True)]
    return labelled_stimuli([t for t, _, _ in chosen], [e for _, e, _ in chosen], language, groups)


def _data_folder(data: str | Path | None) -> Path:
    from emotion_interp.norms.load import DATA_VARIABLE

    folder = data or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise EmotionInterpError(
            f"no data folder is named; set {DATA_VARIABLE} to the folder with labelled/ and corpora/, or give data=."
        )
    return Path(folder)


_Text = tuple[str, str, str | None]
"""Text, emotion, group."""


def _read_corpus(corpus: str, language: str, split: str, root: Path) -> list[_Text]:
    labelled = root / "labelled"
    languages = tuple(BRIGHTER_LANGUAGES) if corpus == "brighter" else ("en",)
    if language not in languages:
        raise UnknownNameError(f"language of {corpus}", language, languages)
    known = tuple(STORY_TOPICS) if corpus == "stories" else ("train", "dev", "test")
    splits = dict.fromkeys(split.split("+"))
    for one in splits:
        if one not in known:
            raise UnknownNameError(f"split of {corpus}", one, known)
    if corpus == "stories":
        topics = {n for one in splits for n in STORY_TOPICS[one]}
        stories = read_stories(root / "corpora" / "emotion_stories.jsonl.gz")
        return [(t.text, t.emotions[0], f"topic {n}") for n, t in stories if n in topics]
    texts: list[LabelledText] = []
    for one in splits:
        if corpus == "goemotions":
            more = list(read_goemotions(labelled, one))
        else:
            more = list(read_brighter(labelled, one, BRIGHTER_LANGUAGES[language]))
        if not more and len(splits) > 1:
            raise FileFormatError(f"the split {one!r} of {corpus} holds no labelled {language!r} text; leave it out.")
        texts += more
    return [(t.text, t.emotions[0] if t.emotions else NEUTRAL, None) for t in texts if len(t.emotions) < 2]


def _read_csv(path: Path, language: str | None) -> tuple[list[_Text], str]:
    """The texts and their language: the one asked for, of the column `language`, or the one that they read as."""
    import pandas as pd

    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give a CSV with the columns text and emotion.")
    try:
        frame: Any = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as a UTF-8 table: {error}") from error
    missing = [c for c in ("text", "emotion") if c not in frame]
    if missing:
        raise FileFormatError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}."
        )
    empty = frame.index[(frame["text"].str.strip() == "") | (frame["emotion"].str.strip() == "")]
    if len(empty):
        raise FileFormatError(f"{path}: line {empty[0] + 2} has no text or no emotion; fill it in or leave it out.")
    if language is None:
        known = sorted(set(frame["language"])) if "language" in frame else []
        if len(known) > 1:
            raise EmotionInterpError(f"{path.name} has texts in {', '.join(known)}; give language= one of them.")
        language = known[0] if known else detect_language("\n".join(frame["text"]))
    if language is None:
        raise EmotionInterpError(
            f"the language of the texts in {path.name} does not show; give language=, such as 'en'."
        )
    if "language" in frame:
        if language not in set(frame["language"]):
            raise UnknownNameError(f"language in {path.name}", language, sorted(set(frame["language"])))
        frame = frame[frame["language"] == language]
    groups = frame["group"].tolist() if "group" in frame else [None] * len(frame)
    return list(zip(frame["text"], frame["emotion"].str.strip(), groups, strict=True)), language


def _limited(texts: Sequence[_Text], limit: int | None, seed: int) -> list[_Text]:
    """At most `limit` texts of each emotion, in their old order; one emotion's draw does not depend on the others."""
    texts = [t for t in texts if t[0].strip()]
    if limit is None:
        return texts
    places: dict[str, list[int]] = {}
    for i, (_, emotion, _) in enumerate(texts):
        places.setdefault(emotion, []).append(i)
    kept: list[int] = []
    for emotion, own in places.items():
        drawn = generator(seed, "corpus", emotion).permutation(len(own))[:limit]
        kept += [own[i] for i in drawn]
    return [texts[i] for i in sorted(kept)]
