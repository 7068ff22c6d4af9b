"""Concept sets as TOML and CSV files: readable, one word per line, and the same after a round trip."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from emotion_interp.concepts.defaults import build_part, default_templates
from emotion_interp.concepts.model import NEUTRAL, ConceptWord, LanguageConcepts
from emotion_interp.concepts.parsing import FORMAT, parse_file
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import write_text
from emotion_interp.core.reading import LARGEST_RECORD, is_workbook, parse_toml, read_text
from emotion_interp.core.tables import parse_table, read_table

_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def read_toml(path: str | Path) -> tuple[LanguageConcepts, ...]:
    """Read a concept file; every fault is a `FileFormatError` that names the file."""
    table = parse_toml(read_text(path, largest=LARGEST_RECORD), str(path))
    try:
        return parse_file(table, default_templates)
    except EmotionInterpError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _quote(text: str) -> str:
    # a JSON string is a TOML basic string, except that TOML wants DEL escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else _quote(name)


def _word_lines(words: Iterable[ConceptWord]) -> list[str]:
    lines = ["words = ["]
    for word in words:
        lemma = f", lemma = {_quote(word.lemma)}" if word.lemma != word.word else ""
        lines.append(f"  {{w = {_quote(word.word)}, id = {_quote(word.id)}{lemma}}},")
    return [*lines, "]"]


def _part_lines(part: LanguageConcepts, prefix: str) -> list[str]:
    lines = ["", f"[{prefix}templates]", *(f"{_key(name)} = {_quote(text)}" for name, text in part.templates)]
    for concept in part.concepts:
        lines += ["", f"[{prefix}emotions.{_key(concept.emotion)}]", f"label = {_quote(concept.label)}"]
        lines.append(f"siblings = [{', '.join(map(_quote, concept.siblings))}]")
        if concept.shared:
            lines.append(f"shared = [{', '.join(map(_quote, concept.shared))}]")
        lines += _word_lines(concept.words)
    for role, content in part.messages:
        lines += ["", f"[[{prefix}messages]]", f"role = {_quote(role)}", f"content = {_quote(content)}"]
    if part.neutral:
        lines += ["", f"[{prefix}neutral]", *_word_lines(part.neutral)]
    return lines


def write_toml(parts: tuple[LanguageConcepts, ...], path: str | Path) -> None:
    """Write a concept file that `read_toml` reads back as it was."""
    lines = [f"format = {FORMAT}"]
    if len(parts) == 1:
        lines += [f"language = {_quote(parts[0].language)}", *_part_lines(parts[0], "")]
    else:
        for part in parts:
            lines += _part_lines(part, f"languages.{_key(part.language)}.")
    write_text(path, "\n".join(lines) + "\n")


def read_csv(
    path: str | Path,
    language: str | None,
    siblings: Mapping[str, Iterable[str]] | None,
    shared: Iterable[str],
    templates: Mapping[str, str] | None,
) -> tuple[LanguageConcepts, ...]:
    """Read a table with the columns emotion, word and, if wanted, id, lemma, language, label."""
    text = "" if is_workbook(path) else read_text(path)
    if not is_workbook(path) and not text.strip():
        raise FileFormatError(f"{path} has no column emotion or word; it is empty.")
    table = read_table(path) if is_workbook(path) else parse_table(path, text)
    names = {name: table.find(name) for name in ("emotion", "word", "id", "lemma", "language", "label")}
    missing = [c for c in ("emotion", "word") if names[c] is None]
    if missing:
        raise FileFormatError(
            f"{path} has no column {' or '.join(missing)}; its columns are {', '.join(table.columns)}."
        )
    rows = [(line, {name: cells[c] for name, c in names.items() if c is not None}) for line, cells in table]
    try:
        return _parts_of_rows(rows, language, siblings, tuple(shared), templates)
    except EmotionInterpError as error:
        raise FileFormatError(f"{path}: {error}") from error


def _parts_of_rows(
    rows: list[tuple[int, dict[str, str]]],
    language: str | None,
    siblings: Mapping[str, Iterable[str]] | None,
    shared: tuple[str, ...],
    templates: Mapping[str, str] | None,
) -> tuple[LanguageConcepts, ...]:
    if not rows:
        raise EmotionInterpError("the table has no rows; give one row per word.")
    words: dict[str, dict[str, list[ConceptWord]]] = {}
    labels: dict[str, dict[str, str]] = {}
    for number, row in rows:
        code = (row.get("language") or "").strip() or language
        if not code:
            raise EmotionInterpError(f"line {number} names no language; add a column language or give language=.")
        if not all(c.isalnum() or c in "-_" for c in code):
            raise EmotionInterpError(f"line {number}: {code!r} is no code of a language, such as 'en' or 'zh-tw'.")
        emotion, word = row["emotion"] or "", row["word"] or ""
        try:
            entry = ConceptWord(word, row.get("id") or f"{emotion}.{word}", row.get("lemma") or "")
        except EmotionInterpError as error:
            raise EmotionInterpError(f"line {number}: {error}") from error
        words.setdefault(code, {}).setdefault(emotion, []).append(entry)
        if row.get("label"):
            labels.setdefault(code, {})[emotion] = row["label"]
    if language is not None and "language" in rows[0][1] and language not in words:
        raise UnknownNameError("language of the table", language, words)
    parts = []
    for code, by_emotion in words.items():
        if language in (None, code):
            neutral = by_emotion.pop(NEUTRAL, [])
            parts.append(build_part(code, by_emotion, labels.get(code, {}), neutral, siblings, shared, templates))
    return tuple(parts)
