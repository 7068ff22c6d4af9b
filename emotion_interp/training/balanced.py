"""Text for SAEs of a multilingual subject: English, Chinese and Spanish in equal parts, and words in carriers.

Nothing that evaluates enters: stories of topics 64-79, the dev and test parts of the labelled corpora, and, in the carriers,
the words of the shipped concept sets. Of the subtitles (XED), which have no such parts, one line in five is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emotion_interp.concepts import concept_set
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.extras import need
from emotion_interp.core.reading import damage_named
from emotion_interp.core.seeds import generator
from emotion_interp.core.spelling import as_text
from emotion_interp.training import corpus
from emotion_interp.training.texts import Texts

LANGUAGES = ("en", "zh", "es")
_CHARACTERS_PER_TOKEN = {"en": 4.0, "zh": 1.5, "es": 3.7}
_CARRIERS = {
    "en": ("The word is {word}", "The word {word}", "Think of {word}"),
    "zh": ("这个词是{word}", "想一想{word}"),
    "es": ("La palabra es {word}", "La palabra {word}", "Piensa en {word}"),
}
_CARRIER_WORDS = 40_000
_SUBTITLE_PARTS = 5


@dataclass(frozen=True)
class _Part:
    """One source: language, its share of the language's tokens, and how it is read."""

    language: str
    share: float
    read: Callable[[Path], Iterator[str]]


def _bucket(text: str, parts: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % parts


def is_evaluation_subtitle(text: str) -> bool:
    """Whether a subtitle belongs to the fifth that no SAE is trained on, by a hash of its text."""
    return _bucket(text, _SUBTITLE_PARTS) == 0


def _subtitles(*names: str) -> Callable[[Path], Iterator[str]]:
    def read(root: Path) -> Iterator[str]:
        for name in names:
            for text in corpus._column(root / f"labelled/xed/{name}.tsv", 0, "\t"):
                if not is_evaluation_subtitle(text):
                    yield corpus._tidy(text)

    return read


def _table(path: str, column: int | str, delimiter: str = ",") -> Callable[[Path], Iterator[str]]:
    def read(root: Path) -> Iterator[str]:
        encoding = "latin-1" if "isear" in path else "utf-8"
        for text in corpus._column(root / path, column, delimiter, encoding):
            if "no response" not in text.lower():
                yield corpus._tidy(text.replace("á\n", " "))

    return read


def _traditional_stories(root: Path) -> Iterator[str]:
    for text in corpus._column(root / "corpora/tiny_chinese_stories.csv", " story", ","):
        yield text.strip()


def _weibo(root: Path) -> Iterator[str]:
    path = root / "labelled/smp2020/virus_train.json"
    with damage_named(path):
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8")), 1):
            yield as_text(row["content"], f"{path}, post {number}")


def _reviews(root: Path) -> Iterator[str]:
    for domain, tasks in (("laptop", "alltasks"), ("restaurant", "alltasks"), ("finance", "task1")):
        yield from corpus._unique_texts(root / f"labelled/dimabsa/zho/zho_{domain}_train_{tasks}.jsonl")


def _novels(folder: str, characters: int, pattern: str = "*.txt.gz") -> Callable[[Path], Iterator[str]]:
    return lambda root: corpus._pages(root / "corpora" / folder, characters, pattern)


PARTS: dict[str, _Part] = {
    "stories": _Part("en", 0.40, corpus._stories),
    "comments": _Part("en", 0.18, _table("labelled/goemotions/train.tsv", 0, "\t")),
    "situations": _Part("en", 0.05, _table("labelled/isear/isear.csv", "SIT", "|")),
    "english subtitles": _Part("en", 0.06, _subtitles("en-annotated")),
    "english posts": _Part("en", 0.04, _table("labelled/brighter/track_a/train/eng.csv", "text")),
    "english novels": _Part("en", 0.05, _novels("eltec_eng", 1400, "ENG1[89][0-9]*.txt.gz")),
    "chinese stories": _Part("zh", 0.38, _traditional_stories),
    "weibo": _Part("zh", 0.16, _weibo),
    "reviews": _Part("zh", 0.06, _reviews),
    "chinese posts": _Part("zh", 0.10, _table("labelled/brighter/track_a/train/chn.csv", "text")),
    "chinese subtitles": _Part("zh", 0.04, _subtitles("cn-projections", "zh-projections", "tw-projections")),
    "chinese novels": _Part("zh", 0.05, _novels("novels_zho", 400)),
    "spanish subtitles": _Part("es", 0.24, _subtitles("es-projections")),
    "spanish posts": _Part("es", 0.10, _table("labelled/brighter/track_a/train/esp.csv", "text")),
    "spanish novels": _Part("es", 0.42, _novels("eltec_spa", 1400)),
}
"""What is left of each language's share are words in carriers; where a source ends early, the rest of its language fills up."""


def carrier_texts(language: str, seed: int = 0, held_out: bool = False) -> list[str]:
    """Frequent words in carriers, all words in one carrier each before any is in a second; none is in a standard concept set.

    Args:
        language: "en", "zh" (half of the texts in traditional script) or "es".
        seed: which carrier comes first, and the order.
        held_out: the twentieth of the words kept for measuring, in one carrier each, instead of the others.
    """
    import wordfreq

    concepts = concept_set(language)
    known = {word.lower() for emotion in (*concepts.emotions, "neutral") for word in concepts.words(emotion)}
    carriers = [*concepts.templates(language).values(), *_CARRIERS[language]]
    rng = generator(seed, "carriers", language)
    chosen = []
    for word in wordfreq.top_n_list(language, _CARRIER_WORDS):
        chinese = language == "zh"
        fits = all("一" <= c <= "鿿" for c in word) if chinese else word.isalpha() and len(word) > 2
        if not fits or word in known or (_bucket(word, 20) == 0) != held_out:
            continue
        chosen.append((word, int(rng.integers(len(carriers))), chinese and rng.random() < 0.5))
    texts = []
    # every word in one carrier, then every word in another one, and so on: a budget that ends early cuts carriers, not words
    for turn in range(1 if held_out else len(carriers)):
        for i in rng.permutation(len(chosen)):
            word, first, traditional = chosen[i]
            text = carriers[(first + turn) % len(carriers)].replace("{word}", word)
            # the script takes turns as well
            if traditional != (language == "zh" and turn % 2 == 1):
                text = need("zhconv", extra="zh").convert(text, "zh-tw")
            texts.append(text)
    return texts


def balanced_texts(
    data: str | Path, tokens: int, languages: Iterable[str] = LANGUAGES, seed: int = 0
) -> tuple[Texts, dict[str, list[str]]]:
    """Training texts of about `tokens` tokens in equal parts by language, held-out texts, and these once more by group.

    Args:
        data: folder with `corpora/` and `labelled/`.
        tokens: wanted, by a rule of thumb for characters per token.
        languages: of "en", "zh", "es".
        seed: sampling.

    Returns:
        `Texts`, and the held-out texts by group: "en", "zh", "es" and "en words", ... .

    Raises:
        UnknownNameError: another language.
        FileFormatError: a corpus is missing.
        EmotionInterpError: no language.
    """
    root, chosen = Path(data), tuple(languages)
    if not chosen:
        raise EmotionInterpError(f"no language was given; choose of {', '.join(LANGUAGES)}.")
    train: list[str] = []
    groups: dict[str, list[str]] = {}
    for language in chosen:
        if language not in LANGUAGES:
            raise UnknownNameError("language of the balanced corpus", language, LANGUAGES)
        budget = tokens / len(chosen) * _CHARACTERS_PER_TOKEN[language]
        words = carrier_texts(language, seed)
        share = 1.0 - sum(part.share for part in PARTS.values() if part.language == language)
        taken = list(_up_to(words, budget * share))
        left = budget - sum(map(len, taken))
        groups[f"{language} words"] = carrier_texts(language, seed, held_out=True)
        pools: list[list[str]] = []
        # smallest share first: what a small corpus cannot fill goes to the next
        parts = sorted((p for p in PARTS.items() if p[1].language == language), key=lambda item: item[1].share)
        total = sum(part.share for _, part in parts)
        for name, part in parts:
            try:
                texts = [text for text in dict.fromkeys(part.read(root)) if len(text.strip()) > 3]
            except FileNotFoundError as error:
                raise FileFormatError(
                    f"the corpus {name!r} is not under {root}: {error.filename} is missing. Give the folder that holds "
                    "corpora/ and labelled/."
                ) from None
            order = generator(seed, name).permutation(len(texts))
            training_texts = [texts[i] for i in order if _bucket(texts[i], 50) != 0]
            groups.setdefault(language, []).extend(texts[i] for i in order if _bucket(texts[i], 50) == 0)
            some = list(_up_to(training_texts, left * part.share / total))
            left, total = left - sum(map(len, some)), total - part.share
            pools.append(some)
        taken += [text for pool in pools for text in pool]
        train += taken
    unseen = {text for group in groups.values() for text in group}
    train = [text for text in dict.fromkeys(train) if text not in unseen]
    order = generator(seed, "balanced").permutation(len(train))
    return Texts([train[i] for i in order], sorted(unseen)), groups


def training_sample(
    data: str | Path, n: int, languages: Iterable[str] = LANGUAGES, seed: int = 0
) -> dict[str, list[str]]:
    """Texts of the training side by group, each corpus as large as it is; made as the held-out groups are, from the rest.

    Args:
        data: folder with `corpora/` and `labelled/`.
        n: texts of each group.
        languages: of "en", "zh", "es".
        seed: which texts.
    """
    groups: dict[str, list[str]] = {}
    for language in languages:
        pool = [
            text
            for _, part in PARTS.items()
            if part.language == language
            for text in dict.fromkeys(part.read(Path(data)))
            if len(text.strip()) > 3 and _bucket(text, 50) != 0
        ]
        order = generator(seed, "training sample", language).permutation(len(pool))[:n]
        groups[language] = [pool[i] for i in order]
        groups[f"{language} words"] = carrier_texts(language, seed)[:n]
    return groups


def _up_to(texts: Iterable[str], characters: float) -> Iterator[str]:
    total = 0
    for text in texts:
        if total >= characters:
            return
        total += len(text)
        yield text
