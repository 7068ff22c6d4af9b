"""Labelled texts of public corpora and of a user's own file, as stimuli; labels are mapped onto the shipped emotions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_interp.concepts.labels import LABEL_NAMES, NO_EMOTION, STORY_NAMES
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.concepts.naming import check_names, names_emotion, tell_of_names
from emotion_interp.concepts.scenes import labelled_stimuli
from emotion_interp.core import EmotionInterpError, FileFormatError, Stimulus, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.languages import detect_language
from emotion_interp.core.reading import json_line, read_text, regular_file, text_lines
from emotion_interp.core.seeds import generator
from emotion_interp.core.spelling import as_text
from emotion_interp.core.tables import read_table
from emotion_interp.norms.load import DATA_VARIABLE

CORPORA = ("stories", "goemotions", "brighter")

TABLES = (".csv", ".tsv", ".xlsx", ".csv.gz", ".tsv.gz")
"""Endings of a user's own table of texts."""

STORY_TOPICS = {"subject": range(64), "train": range(64, 72), "test": range(72, 80)}
"""Topics of the emotion stories by split: "subject" trains subjects and finds features, "train" trains judges, "test" is for
evaluation."""

BRIGHTER_LANGUAGES = {"en": "eng", "zh": "chn", "es": "esp"}


@dataclass(frozen=True)
class LabelledText:
    """A text, the emotions it has (none: neutral), and the data set it is from."""

    text: str
    emotions: tuple[str, ...]
    source: str


def existing_file(path: Path) -> Path:
    """The path, or an error that says what it should hold."""
    return regular_file(path, "give the folder that holds labelled/ and corpora/", largest=None)


def read_stories(path: Path) -> Iterable[tuple[int, LabelledText]]:
    """(topic, story) of the emotion stories; stories whose emotion has no counterpart are left out."""
    names = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    for topic, name, text in named_stories(path):
        if name in names:
            yield topic, LabelledText(text, (names[name],), "stories")


def named_stories(path: Path) -> Iterable[tuple[int, str, str]]:
    """(topic, name of the emotion that it was written for, story) of every emotion story."""
    for number, line in text_lines(existing_file(path)):
        story = _record(path, number, line, {"emotion": str, "topic_idx": int})
        yield story["topic_idx"], story["emotion"], as_text(story.get("text"), f"{path}, line {number}")


def _record(path: Path, number: int, line: str, kinds: Mapping[str, type]) -> Mapping[str, Any]:
    """One line of a .jsonl file, if it is an object with these entries."""
    place = f"{path}, line {number}"
    record = json_line(path, number, line)
    wrong = [k for k, kind in kinds.items() if not isinstance(record, dict) or not isinstance(record.get(k), kind)]
    if wrong:
        raise FileFormatError(
            f"{place}: an object with {', '.join(kinds)} is needed; {wrong[0]} is not as it should be."
        )
    return record


def mapped_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Emotions that public labels stand for; none for neutral."""
    named = [LABEL_NAMES.get(label, label) for label in labels]
    return tuple(dict.fromkeys(n for n in named if n != NEUTRAL and n not in NO_EMOTION))


def read_goemotions(labelled: Path, split: str) -> Iterable[LabelledText]:
    """GoEmotions comments of a split ("train", "dev", "test") with all their labels."""
    folder = labelled / "goemotions"
    names = read_text(existing_file(folder / "labels.txt")).split()
    path = existing_file(folder / f"{split}.tsv")
    for number, line in text_lines(path):
        try:
            text, numbers, _ = line.rstrip("\r\n").rsplit("\t", 2)
            labels = [dict(enumerate(names))[int(n)] for n in numbers.split(",")]
        except (ValueError, KeyError):
            raise FileFormatError(
                f"{path}, line {number}: text, numbers of labels and an id between tabs are needed, got {line.strip()[:60]!r}."
            ) from None
        emotions = mapped_labels(labels)
        if emotions or labels == [NEUTRAL]:
            yield LabelledText(text, emotions, "GoEmotions")


def read_brighter(labelled: Path, split: str, language: str) -> Iterable[LabelledText]:
    """BRIGHTER texts of a split and a language of its own naming ("eng", "chn", "esp")."""
    path = existing_file(labelled / "brighter" / "track_a" / split / f"{language}.csv")
    table = read_table(path)
    columns = [c for c in table.columns if c not in ("id", "text")]
    if "text" not in table.columns or not columns:
        raise FileFormatError(
            f"{path} needs id, text and a column for each emotion; it has {', '.join(table.columns)}."
        )
    for line, record in table:
        marks = {c: record[c].strip() for c in columns}
        if not all(marks.values()):
            # the English test file came without its labels
            continue
        if wrong := next((m for m in marks.values() if m not in ("0", "1", "0.0", "1.0")), None):
            raise FileFormatError(f"{path}, line {line}: a label is 0 or 1, got {wrong!r}.")
        text = as_text(record["text"], f"{path}, line {line}")
        yield LabelledText(text, mapped_labels(c for c in columns if float(marks[c]) == 1), "BRIGHTER")


@checked
def corpus_stimuli(
    corpus: str | Path,
    language: str | None = None,
    *,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    data: str | Path | None = None,
    names: str = "keep",
) -> list[Stimulus]:
    """Labelled texts as stimuli, for `find_features(stimuli=...)` and `transfer`.

    Only texts with one emotion are taken; those without any are the neutral class.

    Args:
        corpus: "stories" (short stories; no neutral ones; grouped by topic; each was written without its own label, but 9%
            hold another name of the class that the label was merged into, of calm 30%: see `names`), "goemotions"
            (Reddit comments), "brighter" (tweets and news), or the path of a CSV with columns text and emotion,
            optionally language and group (texts of one group stay on one side of a split).
        language: language of the texts; of a CSV with a language column, the one to keep.
        split: "train", "dev" or "test", or several joined, "dev+test"; of stories "subject", "train" or "test" (see
            `STORY_TOPICS`); a CSV has none. Where the English test file of BRIGHTER lacks its labels, use "dev".
        limit: at most this many texts of each emotion, drawn at random.
        seed: of that draw.
        data: folder with `labelled/` and `corpora/`; default: the one that EMOTION_INTERP_DATA names.
        names: "keep", or "drop" to leave out texts that name their emotion (`naming.names_emotion`: its label and every name
            merged into it, inflected); others of the corpus stand in for them up to `limit`. One line of warning says how
            many of the corpus were dropped, of stories also how many of those taken name theirs.

    Raises:
        UnknownNameError: a corpus, language, split or choice of names that is not there.
        FileFormatError: files or columns are missing, or no text is left.
        EmotionInterpError: no data folder is named, or `limit` is below 1.

    Example:
        >>> stimuli = corpus_stimuli("goemotions", limit=100)  # doctest: +SKIP
        >>> own = corpus_stimuli("my_texts.csv")  # doctest: +SKIP
    """
    check_names(names)
    if limit is not None and limit < 1:
        raise EmotionInterpError(f"limit is the number of texts kept of each emotion, at least 1; got {limit}.")
    if isinstance(corpus, Path) or corpus.lower().endswith(TABLES):
        texts, language = _read_csv(Path(corpus), language)
    elif corpus not in CORPORA:
        raise UnknownNameError("corpus", corpus, (*CORPORA, "a path ending in .csv"))
    else:
        if language is None and corpus == "brighter":
            raise EmotionInterpError(f"brighter has several languages; give language= one of {[*BRIGHTER_LANGUAGES]}.")
        language = language or "en"
        texts = _read_corpus(corpus, language, split, data)
    what = "stories" if corpus == "stories" else f"texts of {corpus}"
    naming: list[bool] = []
    if names == "drop":
        naming = [names_emotion(t, e, language) for t, e, _ in texts]
        tell_of_names(sum(naming), len(texts), what, dropped=True)
    chosen = _limited(texts, limit, seed, naming)
    if corpus == "stories" and names == "keep":
        tell_of_names(sum(names_emotion(t, e, language) for t, e, _ in chosen), len(chosen), what, dropped=False)
    if not chosen:
        raise FileFormatError(f"{corpus} holds no {language!r} text with exactly one emotion, or neutral.")
    # labelled_stimuli puts copies of a text together, which stay on one side of a split
    groups = [group if group is not None else f"{corpus} {i}" for i, (_, _, group) in enumerate(chosen)]
    return labelled_stimuli([t for t, _, _ in chosen], [e for _, e, _ in chosen], language, groups)


def _data_folder(data: str | Path | None) -> Path:
    folder = data or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise EmotionInterpError(
            f"no data folder is named; set {DATA_VARIABLE} to the folder with labelled/ and corpora/, or give data=."
        )
    return Path(folder)


_Text = tuple[str, str, str | None]
"""Text, emotion, group."""


def _read_corpus(corpus: str, language: str, split: str, data: str | Path | None) -> list[_Text]:
    languages = tuple(BRIGHTER_LANGUAGES) if corpus == "brighter" else ("en",)
    if language not in languages:
        raise UnknownNameError(f"language of {corpus}", language, languages)
    known = tuple(STORY_TOPICS) if corpus == "stories" else ("train", "dev", "test")
    splits = dict.fromkeys(split.split("+"))
    for part in splits:
        if part not in known:
            raise UnknownNameError(f"split of {corpus}", part, known)
    # last: a wrong name is wrong with and without the data
    root = _data_folder(data)
    labelled = root / "labelled"
    if corpus == "stories":
        topics = {n for part in splits for n in STORY_TOPICS[part]}
        stories = read_stories(root / "corpora" / "emotion_stories.jsonl.gz")
        return [(t.text, t.emotions[0], f"topic {n}") for n, t in stories if n in topics]
    texts: list[LabelledText] = []
    for part in splits:
        if corpus == "goemotions":
            more = list(read_goemotions(labelled, part))
        else:
            more = list(read_brighter(labelled, part, BRIGHTER_LANGUAGES[language]))
        if not more and len(splits) > 1:
            raise FileFormatError(f"the split {part!r} of {corpus} holds no labelled {language!r} text; leave it out.")
        texts += more
    return [(t.text, t.emotions[0] if t.emotions else NEUTRAL, None) for t in texts if len(t.emotions) < 2]


def _read_csv(path: Path, language: str | None) -> tuple[list[_Text], str]:
    """The texts and their language: the one asked for, of the column `language`, or the one that they read as."""
    table = read_table(path, "give a CSV with the columns text and emotion")
    names = {name: table.find(name) for name in ("text", "emotion", "language", "group")}
    missing = [c for c in ("text", "emotion") if names[c] is None]
    if missing:
        raise FileFormatError(f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}.")
    rows = [(line, {k: cells[c] for k, c in names.items() if c is not None}) for line, cells in table]
    for line, row in rows:
        if not row["text"].strip() or not row["emotion"].strip():
            raise FileFormatError(f"{path}: line {line} has no text or no emotion; fill it in or leave it out.")
    for name in ("emotion", "group") if table.separator else ():
        spaced = [(line, row[name]) for line, row in rows if name in row and row[name][:1] == " " and row[name].strip()]
        if 0 < len(spaced) < len(rows):
            line, cell = spaced[0]
            raise FileFormatError(
                f"{path}, line {line}: the {name} {cell!r} begins with a blank, as the rest of a text does that has a "
                "separator in it and no quotes. Put the text in quotes, or take the blank away."
            )
    if bare := next((line for line, row in rows if not row.get("language", "given").strip()), 0):
        raise FileFormatError(f"{path}, line {bare}: the language is empty; fill it in.")
    known = sorted({row["language"].strip() for _, row in rows}) if names["language"] is not None else []
    language = language or _language_of(path, known, [row["text"] for _, row in rows])
    if known:
        if language not in known:
            raise UnknownNameError(f"language in {path.name}", language, known)
        rows = [(line, row) for line, row in rows if row["language"].strip() == language]
    return [(row["text"], row["emotion"].strip(), row.get("group", "").strip() or None) for _, row in rows], language


def _language_of(path: Path, known: list[str], texts: list[str]) -> str:
    """The one language of a file's column, or the one that its texts read as."""
    if len(known) > 1:
        raise EmotionInterpError(f"{path.name} has texts in {', '.join(known)}; give language= one of them.")
    language = known[0] if known else detect_language("\n".join(texts))
    if language is None:
        raise EmotionInterpError(
            f"the language of the texts in {path.name} does not show; give language=, such as 'en'."
        )
    return language


def _limited(texts: Sequence[_Text], limit: int | None, seed: int, left_out: Sequence[bool] = ()) -> list[_Text]:
    """At most `limit` texts of each emotion, in their old order; one emotion's draw does not depend on the others.

    Where some are left out, the next of the draw stand in for them: the other texts are those drawn without.
    """
    out = {i for i, gone in enumerate(left_out) if gone}
    # an empty text is no text; the draw has never counted it
    places: dict[str, list[int]] = {}
    for i, (text, emotion, _) in enumerate(texts):
        if text.strip():
            places.setdefault(emotion, []).append(i)
    chosen: list[int] = []
    for emotion, indices in places.items():
        order = range(len(indices)) if limit is None else generator(seed, "corpus", emotion).permutation(len(indices))
        chosen += [indices[i] for i in order if indices[i] not in out][:limit]
    return [texts[i] for i in sorted(chosen)]
