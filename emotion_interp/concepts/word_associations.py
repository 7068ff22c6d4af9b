"""Concepts from human word associations: the files of the Small World of Words project, in both layouts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from emotion_interp.concepts.defaults import build_part, shipped_languages, shipped_part
from emotion_interp.concepts.model import ConceptWord, LanguageConcepts, same_word
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.tables import read_table

COUNTED = ("R1", "R123")
OVERLAPS = ("drop", "keep", "strongest")
_NO_ANSWER = {"", "na", "#missing", "#unknown", "no more responses", "unknown word"}


def _tidy(text: str | None, language: str) -> str:
    word = " ".join((text or "").split())
    return word.lower() if language == "en" else word


def _count(
    path: str | Path, cues: set[str], language: str, responses: str
) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    """Counts of each response per cue, and the number of answers per cue (missing answers left out)."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    answers: Counter[str] = Counter()
    file = read_table(path)
    columns = set(file.columns)
    raw = {"cue", "R1", "R2", "R3"} <= columns and "response" not in columns
    table = {"cue", "response", "N", responses} <= columns
    if not raw and not table:
        raise FileFormatError(
            f"{path} has the columns {', '.join(sorted(columns)) or 'none'}. Needed for responses={responses!r}: "
            f"cue, R1, R2, R3 (one row per participant), or cue, response, {responses}, N (strength table)."
        )
    for name in ("cue", "response", "N", responses) if table else ("cue", "R1", "R2", "R3"):
        file.find(name)
    for line, row in file:
        cue = same_word(_tidy(row["cue"], language))
        if cue not in cues:
            continue
        if table:
            word = _tidy(row["response"], language)
            count, total = _counts(path, line, row, responses)
            answers[cue] = max(answers[cue], total)
            if word.lower() not in _NO_ANSWER:
                counts[cue][word] += count
            continue
        for column in ("R1",) if responses == "R1" else ("R1", "R2", "R3"):
            word = _tidy(row[column], language)
            if word.lower() not in _NO_ANSWER:
                counts[cue][word] += 1
                answers[cue] += 1
    return counts, answers


def _counts(path: str | Path, line: int, row: Mapping[str, str], responses: str) -> tuple[int, int]:
    """Answers of a kind and all answers to the cue, of one row."""
    try:
        count, total = (float(row[name]) for name in (responses, "N"))
        if not 0 <= count <= total or count != int(count) or total != int(total):
            raise ValueError
    except (ValueError, OverflowError):
        raise FileFormatError(
            f"{path}, line {line}: {responses} and N are counts, got {row[responses]!r} and {row['N']!r}."
        ) from None
    return int(count), int(total)


def _resolve(strengths: dict[str, dict[str, float]], overlap: str) -> dict[str, dict[str, float]]:
    """Leave each word under the emotions that the rule for words of several emotions allows."""
    if overlap == "keep":
        return strengths
    owners: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for emotion, words in strengths.items():
        for word, strength in words.items():
            owners[word][emotion] = strength
    resolved: dict[str, dict[str, float]] = {emotion: {} for emotion in strengths}
    for word, places in owners.items():
        best = max(places.values())
        strongest = [emotion for emotion, strength in places.items() if strength == best]
        # a tie belongs to nobody: giving it to the first emotion would depend on the alphabet
        if len(places) == 1 or (overlap == "strongest" and len(strongest) == 1):
            resolved[strongest[0]][word] = best
    return resolved


def _strengths(
    wanted: Mapping[str, Iterable[str]],
    counts: Mapping[str, Mapping[str, int]],
    answers: Mapping[str, int],
    min_strength: float,
) -> tuple[dict[str, dict[str, float]], dict[str, Counter[str]]]:
    """Emotion -> form -> share of the answers to its cues, and how often each form was spelt which way."""
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    strengths: dict[str, dict[str, float]] = {}
    for emotion, given in wanted.items():
        pooled: Counter[str] = Counter()
        own_cues = {same_word(cue) for cue in given}
        for cue in own_cues:
            for word, count in counts[cue].items():
                pooled[same_word(word)] += count
                spellings[same_word(word)][word] += count
        total = sum(answers[cue] for cue in own_cues)
        strengths[emotion] = {w: n / total for w, n in pooled.items() if n > 0 and n / total >= min_strength}
    return strengths, spellings


def read_word_associations(
    path: str | Path,
    cues: Mapping[str, str | Iterable[str]] | None,
    language: str,
    responses: str,
    min_strength: float,
    overlap: str,
    siblings: Mapping[str, Iterable[str]] | None = None,
) -> LanguageConcepts:
    """Concepts from the responses to each emotion's cues, strongest first; see `ConceptSet.from_word_associations`."""
    if responses not in COUNTED:
        raise UnknownNameError("responses", responses, COUNTED)
    if overlap not in OVERLAPS:
        raise UnknownNameError("overlap", overlap, OVERLAPS)
    if not 0 <= min_strength <= 1:
        raise EmotionInterpError(f"min_strength is a share of a cue's answers, from 0 to 1; got {min_strength!r}.")
    if cues is None:
        if language not in shipped_languages():
            raise EmotionInterpError(f'no labels are shipped for {language!r}; give cues={{"joy": ["..."], ...}}.')
        cues = {c.emotion: [c.label] for c in shipped_part(language).concepts}
    wanted = {
        e: [_tidy(c, language) for c in ([given] if isinstance(given, str) else given)] for e, given in cues.items()
    }
    every_cue = {same_word(cue) for given in wanted.values() for cue in given}
    counts, answers = _count(path, every_cue, language, responses)
    missing = sorted(cue for cue in every_cue if not answers.get(cue))
    if missing:
        raise EmotionInterpError(
            f"{path} has no answers to the cues {', '.join(map(repr, missing))}. Give cues={{emotion: [words]}} "
            "with cues that the file has, leaving out emotions that it lacks."
        )
    strengths, spellings = _strengths(wanted, counts, answers, min_strength)
    resolved = _resolve(strengths, overlap)
    written = {form: max(sorted(forms), key=lambda w: forms[w]) for form, forms in spellings.items()}
    try:
        words = {
            emotion: [
                ConceptWord(written[w], f"{emotion}.{w}")
                for w, _ in sorted(its_words.items(), key=lambda i: (-i[1], i[0]))
            ]
            for emotion, its_words in resolved.items()
        }
    except EmotionInterpError as error:
        raise FileFormatError(f"{path}: {error}") from error
    few = sorted(emotion for emotion, its_words in words.items() if len(its_words) < 2)
    if few:
        raise EmotionInterpError(
            f"{path}: fewer than two words are left for {', '.join(few)} at min_strength={min_strength}, overlap={overlap!r}. "
            "Lower min_strength, give more cues, or choose another overlap."
        )
    counted = Counter(w for its_words in resolved.values() for w in its_words)
    return build_part(language, words, {}, siblings=siblings, shared=[written[w] for w, n in counted.items() if n > 1])
