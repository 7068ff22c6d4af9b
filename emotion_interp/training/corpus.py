"""The corpus of the bundled subject: readers of the public data sets, their shares, and the held-out split.

Reads the folder layout that `EMOTION_INTERP_DATA` names (`corpora/`, `labelled/`). Emotion stories of topics 64-79
never enter: 64-71 are kept for training judges, 72-79 for evaluation.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.extras import need
from emotion_interp.core.reading import damage_named
from emotion_interp.core.spelling import as_text

TRAINING_TOPICS = range(64)
_SPACED = re.compile(r"\s+([.,!?;:%)\]}]|'s\b|n't\b|'re\b|'ve\b|'ll\b|'d\b|'m\b)")


@dataclass(frozen=True)
class Document:
    """One training text with its language and source."""

    text: str
    language: str
    source: str


def _simplify(text: str) -> str:
    return need("zhconv", extra="zh").convert(text, "zh-cn")


def _tidy(text: str) -> str:
    """Undo the spaced-out tokenisation that some of the corpora come in."""
    text = text.replace("[NAME]", "Alex").replace("[RELIGION]", "church").replace("` `", '"')
    text = _SPACED.sub(r"\1", text.replace(" ' ", "'"))
    return re.sub(r"[ \t]+", " ", text).strip()


def _stories(root: Path) -> Iterator[str]:
    path = root / "corpora/emotion_stories.jsonl.gz"
    with damage_named(path), gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            if row["topic_idx"] in TRAINING_TOPICS:
                yield as_text(row["text"], f"{path}, line {number}")


def _column(path: Path, column: int | str, delimiter: str, encoding: str = "utf-8") -> Iterator[str]:
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    with damage_named(path), path.open(encoding=encoding, errors="replace", newline="") as handle:
        try:
            if isinstance(column, int):
                for row in csv.reader(handle, delimiter=delimiter, quoting=quoting):
                    yield row[column]
            else:
                for record in csv.DictReader(handle, delimiter=delimiter, quoting=quoting):
                    yield record[column] or ""
        except csv.Error as error:
            raise FileFormatError(f"{path} is no readable table: {error}.") from error


def _english_posts(root: Path) -> Iterator[str]:
    yield from map(_tidy, _column(root / "labelled/goemotions/train.tsv", 0, "\t"))
    yield from map(_tidy, _column(root / "labelled/xed/en-annotated.tsv", 0, "\t"))
    yield from map(_tidy, _column(root / "labelled/brighter/track_a/train/eng.csv", "text", ","))
    for text in _column(root / "labelled/isear/isear.csv", "SIT", "|", "latin-1"):
        if "no response" not in text.lower():
            yield _tidy(text.replace("á", ""))
    for domain in ("laptop", "restaurant"):
        yield from map(_tidy, _unique_texts(root / f"labelled/dimabsa/eng/eng_{domain}_train_alltasks.jsonl"))


def _unique_texts(path: Path) -> Iterator[str]:
    seen = set()
    with damage_named(path):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = as_text(json.loads(line)["Text"], f"{path}, line {number}")
            if text not in seen:
                seen.add(text)
                yield text


def _chinese_modern(root: Path) -> Iterator[str]:
    for text in _column(root / "corpora/tiny_chinese_stories.csv", " story", ","):
        yield _simplify(text.strip())


def _chinese_posts(root: Path) -> Iterator[str]:
    path = root / "labelled/smp2020/virus_train.json"
    with damage_named(path):
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8")), 1):
            yield _simplify(as_text(row["content"], f"{path}, post {number}"))
    for text in _column(root / "labelled/brighter/track_a/train/chn.csv", "text", ","):
        yield _simplify(text)
    for name in ("cn", "zh", "tw"):
        for text in _column(root / f"labelled/xed/{name}-projections.tsv", 0, "\t"):
            yield _simplify(text)
    for domain, tasks in (("laptop", "alltasks"), ("restaurant", "alltasks"), ("finance", "task1")):
        for text in _unique_texts(root / f"labelled/dimabsa/zho/zho_{domain}_train_{tasks}.jsonl"):
            yield _simplify(text)


def _pages(folder: Path, characters: int, pattern: str = "*.txt.gz") -> Iterator[str]:
    """Cut novels into pages of whole paragraphs."""
    for path in sorted(folder.glob(pattern)):
        with damage_named(path), gzip.open(path, "rt", encoding="utf-8") as handle:
            page, size = [], 0
            for line in handle:
                line = line.strip()
                if line:
                    page.append(line)
                    size += len(line)
                if size >= characters:
                    yield "\n".join(page)
                    page, size = [], 0


@dataclass(frozen=True)
class Source:
    """One source: how to read it, and how many times over it enters the training stream (share < 1 samples)."""

    language: str
    read: Callable[[Path], Iterator[str]]
    epochs: float
    licence: str


SOURCES: dict[str, Source] = {
    "emotion stories": Source("en", _stories, 1.0, "none stated"),
    "english posts": Source("en", _english_posts, 2.0, "Apache-2.0, CC BY 4.0, GPL-3 repository, competition terms"),
    "english novels": Source(
        "en",
        lambda root: _pages(root / "corpora/eltec_eng", 1400, "ENG1[89][0-9]*.txt.gz"),
        0.17,
        "public domain, markup CC BY 4.0",
    ),
    "chinese stories": Source("zh", _chinese_modern, 2.0, "none stated"),
    "chinese posts": Source("zh", _chinese_posts, 2.0, "CC BY 4.0, competition terms, none stated (SMP)"),
    "chinese novels": Source("zh", lambda root: _pages(root / "corpora/novels_zho", 400), 0.12, "public domain"),
}


def load_documents(data: str | Path) -> list[Document]:
    """Every training document of every source, once, in a fixed order.

    Raises:
        FileFormatError: a corpus file is missing.
    """
    root = Path(data)
    documents = []
    for name, source in SOURCES.items():
        try:
            documents += [Document(t, source.language, name) for t in source.read(root) if len(t.strip()) > 3]
        except FileNotFoundError as error:
            raise FileFormatError(
                f"the corpus '{name}' is not under {root}: {error.filename} is missing. "
                "Give the folder that holds corpora/ and labelled/."
            ) from None
    return documents


def is_held_out(document: Document, percent: float = 1.0) -> bool:
    """Whether a document belongs to the held-out split, by a hash of its text: stable over order and versions."""
    digest = hashlib.sha256(document.text.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 10_000 < percent * 100


def training_stream(documents: list[Document], seed: int) -> list[Document]:
    """Repeat each source by its `epochs` (whole passes shuffled apart, a remainder sampled) and mix them."""
    rng = random.Random(seed)
    stream: list[Document] = []
    for name, source in SOURCES.items():
        pool = [d for d in documents if d.source == name and not is_held_out(d)]
        whole, part = divmod(source.epochs, 1.0)
        for _ in range(int(whole)):
            stream += pool
        stream += rng.sample(pool, round(part * len(pool)))
    rng.shuffle(stream)
    return stream
