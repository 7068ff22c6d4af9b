"""Where the text for training SAEs comes from: a file of the user, or the corpora under EMOTION_INTERP_DATA."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.reading import json_line, read_text, regular_file, text_lines
from emotion_interp.core.tables import read_table
from emotion_interp.training.corpus import SOURCES, TRAINING_TOPICS, Document, is_held_out, training_stream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from emotion_interp.subjects import Subject

FORMATS = (".txt", ".jsonl", ".csv")
DATA_VARIABLE = "EMOTION_INTERP_DATA"
_PROBES = {"en": "She opened the letter and began to cry.", "zh": "她打开信，开始哭了起来。"}
"""One sentence per language: a tokenizer that spends more than `_MAX_TOKENS_PER_CHARACTER` on it does not know the script."""
_MAX_TOKENS_PER_CHARACTER = 1.2


class Texts(NamedTuple):
    """Texts to train on, and texts to measure on (None: `train_saes` sets some of the first aside)."""

    train: list[str]
    held_out: list[str] | None = None


def load_texts(
    path: str | Path, limit: int | None = None, keep: Callable[[dict[str, object]], bool] | None = None
) -> list[str]:
    """Read texts from a file: .txt (paragraphs split by empty lines, or lines if there are none), .jsonl or .csv with "text".

    Each may be gzipped (.txt.gz, ...). Empty texts are left out.

    Args:
        path: the file.
        limit: at most so many texts, from the start of the file.
        keep: for .jsonl and .csv: called with each record; False leaves it out.

    Raises:
        FileFormatError: no such file, an unknown ending, no "text" field, a broken line, not UTF-8, or no text at all.

    Example:
        >>> load_texts("posts.csv", limit=1000)  # doctest: +SKIP
        ['I could not stop smiling.', ...]
    """
    path = Path(path)
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix not in FORMATS:
        raise FileFormatError(
            f"{path} ends in {path.suffix or 'nothing'!r}; texts are read from {', '.join(FORMATS)}, each also with .gz."
        )
    if limit is not None and limit < 1:
        raise EmotionInterpError(f"limit is at least 1, got {limit}.")
    reader = {".txt": _paragraphs, ".jsonl": _json_lines, ".csv": _csv_rows}[suffix]
    texts: list[str] = []
    regular_file(path, f"give a text file ({', '.join(FORMATS)})", largest=None)
    for record in reader(path):
        if keep is not None and suffix != ".txt" and not keep(record):
            continue
        text = record["text"].strip()
        if text:
            texts.append(text)
        if limit is not None and len(texts) >= limit:
            break
    if not texts:
        raise FileFormatError(f"{path} holds no text.")
    return texts


def _paragraphs(path: Path) -> Iterator[dict[str, str]]:
    whole = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    for text in whole.split("\n\n") if "\n\n" in whole.strip() else whole.split("\n"):
        yield {"text": text}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in text_lines(path):
        if not line.strip():
            continue
        record = json_line(path, number, line)
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise FileFormatError(
                f'{path}, line {number}: an object with a string "text" is needed, got {line.strip()[:80]}.'
            )
        yield record


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    table = read_table(path)
    column = table.find("text")
    if column is None:
        raise FileFormatError(f'{path} has no column "text"; its columns are {", ".join(table.columns)}.')
    for _, record in table:
        yield {**record, "text": record[column]}


def texts_for_subject(
    subject: Subject,
    corpus: str | Path | None = None,
    *,
    data: str | Path | None = None,
    languages: Iterable[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Texts:
    """Texts to train a subject's SAEs on: a file of the user, else the corpora under `EMOTION_INTERP_DATA`.

    From the corpora come the sources of the bundled subject in the shares of its training, each text once, with the
    texts that it never saw as `held_out`. Emotion stories of topics 64-79 are left out of both, also when `corpus` is
    that file: they are kept for judges and evaluation.

    Args:
        subject: decides which languages are read when none are named: those whose script its tokenizer knows.
        corpus: a .txt, .jsonl or .csv file (see `load_texts`).
        data: folder with `corpora/` and `labelled/`; default: the environment variable `EMOTION_INTERP_DATA`.
        languages: e.g. ["en"]; ignored for `corpus`.
        limit: at most so many training texts.
        seed: order and sampling.

    Raises:
        EmotionInterpError: neither a corpus nor a data folder is known.
        UnknownNameError: a language without corpora.
        FileFormatError: a file is missing or damaged.

    Example:
        >>> train, held_out = texts_for_subject(subject, "stories.jsonl")  # doctest: +SKIP
    """
    if corpus is not None:
        return Texts(load_texts(corpus, limit, _may_train))
    root = data_folder(data)
    known = {source.language for source in SOURCES.values()}
    if languages is None:
        chosen = {language for language in known if _knows(subject.tokenizer, language)}
    else:
        chosen = set(languages)
        for language in sorted(chosen - known):
            raise UnknownNameError("language of the training corpora", language, sorted(known))
    documents = _documents(root, chosen)
    stream = dict.fromkeys(document.text for document in training_stream(documents, seed))
    held_out = dict.fromkeys(document.text for document in documents if is_held_out(document))
    train = [text for text in stream if text not in held_out]
    if not train or not held_out:
        raise FileFormatError(
            f"the corpora under {root} hold too little text in {', '.join(sorted(chosen)) or 'any language'}."
        )
    return Texts(train[:limit], list(held_out))


def data_folder(data: str | Path | None = None) -> Path:
    """The folder with `corpora/` and `labelled/`: the one given, else that of `EMOTION_INTERP_DATA`.

    Raises:
        EmotionInterpError: neither is there.
    """
    root = data or os.environ.get(DATA_VARIABLE)
    if not root:
        raise EmotionInterpError(
            f"no text to train SAEs on: give a file with --corpus ({', '.join(FORMATS)}), or set {DATA_VARIABLE} to a folder "
            "that holds corpora/ and labelled/."
        )
    return Path(root)


def _may_train(record: Mapping[str, Any]) -> bool:
    """Whether a record is of a topic that training may see; a table gives the topic as text."""
    topic = record.get("topic_idx")
    try:
        return topic in (None, "") or int(topic) in TRAINING_TOPICS
    except (ValueError, TypeError):
        raise FileFormatError(f"topic_idx is the whole number of a story's topic, got {topic!r}.") from None


def _knows(tokenizer: PreTrainedTokenizerBase, language: str) -> bool:
    probe = _PROBES.get(language)
    if probe is None:
        return True
    ids = tokenizer(probe, add_special_tokens=False)["input_ids"]
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        return False
    return len(ids) <= _MAX_TOKENS_PER_CHARACTER * len(probe)


def _documents(root: Path, languages: set[str]) -> list[Document]:
    """Like `corpus.load_documents`, for some languages only: converting Chinese takes most of its time."""
    documents: list[Document] = []
    for name, source in SOURCES.items():
        if source.language not in languages:
            continue
        try:
            documents += [Document(text, source.language, name) for text in source.read(root) if len(text.strip()) > 3]
        except FileNotFoundError as error:
            raise FileFormatError(
                f"the corpus {name!r} is not under {root}: {error.filename} is missing. Give the folder that holds corpora/ "
                "and labelled/, or a file of your own with --corpus."
            ) from None
    return documents
