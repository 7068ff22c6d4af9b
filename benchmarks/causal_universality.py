"""One language's directions and feature sets put in the place of another's, in texts of the other, against two nulls.

`EMOTION_INTERP_DATA=... python -m benchmarks.causal_universality --model gemma-3-270m --saes SAES --bank BANK --pairs
en-zh,en-es,zh-es --layer 9`; without arguments the bundled subject and its bank, English and Chinese. Each pair runs both
ways. Texts: "posts" (single-labelled texts that do not name their emotion: GoEmotions test, BRIGHTER test of Chinese and
Spanish), "stories" (English, topics 72-79), "smp" (Weibo, usual_test), "xed" (the fifth of the subtitles that no SAE is trained
on), "words" (held-out concept words in carriers, one carrier for each word; judged by the concept's other words). `--out FOLDER`
keeps each finished emotion, so that a killed run goes on. Writes `docs/results/causal_universality.md`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import emotion_interp as ei
from benchmarks.given import subject_and_bank
from benchmarks.tables import markdown, write
from emotion_interp.concepts import concept_set, labelled_stimuli
from emotion_interp.concepts.corpora import mapped_labels
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.concepts.naming import names_emotion
from emotion_interp.training.balanced import is_evaluation_subtitle
from emotion_interp.training.texts import data_folder

SOURCES = ("posts", "stories", "smp", "xed", "words")
XED_FILES = {"en": "en-annotated", "zh": "cn-projections", "es": "es-projections"}
XED_LABELS = dict(enumerate((NEUTRAL, "anger", "", "disgust", "fear", "joy", "sadness", "surprise", ""), 0))
MOST = 400
"""Texts read of each emotion, of which a part is drawn."""


def texts_of(source: str, language: str, bank: Any) -> list[Any]:
    """Stimuli of a language from one source; none where it has none."""
    if source == "posts":
        corpus = "goemotions" if language == "en" else "brighter"
        return ei.corpus_stimuli(corpus, language, split="test", limit=MOST, names="drop")
    if source == "stories":
        return ei.corpus_stimuli("stories", "en", split="test", limit=MOST, names="drop") if language == "en" else []
    if source == "words":
        return carriers(language, bank)
    pairs = smp() if source == "smp" and language == "zh" else xed(language) if source == "xed" else []
    kept = [(t, e) for t, e in pairs if e == NEUTRAL or not names_emotion(t, e, language)]
    return labelled_stimuli([t for t, _ in kept], [e for _, e in kept], language) if kept else []


def smp() -> list[tuple[str, str]]:
    """Weibo posts of the test file, which no SAE is trained on, and their labels."""
    rows = json.loads((data_folder() / "labelled/smp2020/usual_test_labeled.json").read_text(encoding="utf-8"))
    return [
        (row["content"], next(iter(mapped_labels([row["label"]])), NEUTRAL)) for row in rows if row["content"].strip()
    ]


def xed(language: str) -> list[tuple[str, str]]:
    """Subtitles with one label of those that have a counterpart."""
    found = []
    path = data_folder() / f"labelled/xed/{XED_FILES[language]}.tsv"
    for line in path.read_text(encoding="utf-8").splitlines():
        text, _, marks = line.rpartition("\t")
        if len(text) > 12 and marks.strip().isdigit() and is_evaluation_subtitle(text):
            emotion = XED_LABELS.get(int(marks), "")
            found += [(text, emotion)] if emotion else []
    return found


def carriers(language: str, bank: Any) -> list[Any]:
    """Held-out words in one carrier each, in turn; the word is the unit."""
    held = {e: set(bank.held_out_words(e, language)) for e in bank.emotions}
    found: dict[tuple[str, str], list[Any]] = {}
    for one in concept_set(language).stimuli():
        if one.emotion == NEUTRAL or one.word in held.get(one.emotion, ()):
            found.setdefault((one.emotion, one.word), []).append(one)
    return [several[i % len(several)] for i, several in enumerate(found.values())]


def judged_by(source: str, language: str, bank: Any) -> dict[str, list[str]] | None:
    """Words to judge by: where words are shown, those of the concept that are not."""
    if source != "words" or bank.manifest.get("stimuli", "words") != "words":
        return None
    every = bank.manifest["concept_words"][language]
    return {e: [w for w in every.get(e, ()) if w not in set(bank.held_out_words(e, language))] for e in bank.emotions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", type=Path, default=None, help="folder of the SAEs")
    parser.add_argument("--bank", type=Path, default=None, help="folder of the bank; default: the one that ships")
    parser.add_argument("--pairs", default="en-zh")
    parser.add_argument(
        "--one-way", action="store_true", help="the first language of a pair in texts of the second alone"
    )
    parser.add_argument("--layer", type=int, default=None, help="default: the bank's middle layer")
    parser.add_argument("--emotions", default=None, help="default: all with texts")
    parser.add_argument("--methods", default="dense,features", help='directions of the bank, or "features"')
    parser.add_argument("--sources", default="posts,words", help=f"of {', '.join(SOURCES)}")
    parser.add_argument("--k", type=int, default=None, help="features: the k best instead of the selected ones")
    parser.add_argument("--texts", type=int, default=24, help="of each emotion")
    parser.add_argument("--random", type=int, default=599)
    parser.add_argument("--positions", default="all", help="all, text or question")
    parser.add_argument("--measure", default="share", help="share, mass or auroc")
    parser.add_argument("--out", type=Path, default=Path("runs/causal_universality"))
    parser.add_argument("--write", type=Path, default=Path("docs/results/causal_universality.md"))
    given = parser.parse_args()
    if wrong := [s for s in given.sources.split(",") if s not in SOURCES]:
        parser.error(f"--sources {wrong[0]}: one of {', '.join(SOURCES)}")
    subject, bank = subject_and_bank(parser, given)
    given.layer = bank.layers[len(bank.layers) // 2] if given.layer is None else given.layer
    parts = [_HEAD, f"Subject: {subject.name}, {subject.provenance.get('weights', 'own weights')}. {_settings(given)}"]
    for pair in given.pairs.split(","):
        one, _, two = pair.partition("-")
        for first, second in ((one, two), (two, one))[: 1 if given.one_way else 2]:
            for source in given.sources.split(","):
                texts = texts_of(source, second, bank)
                for method in given.methods.split(",") if texts else ():
                    result = measured(subject, bank, texts, first, second, source, method, given)
                    parts += section(result, source, given)
    write(given.write, *parts)


def measured(
    subject: Any, bank: Any, texts: list[Any], first: str, second: str, source: str, method: str, given: Any
) -> Any:
    there = {t.emotion for t in texts}
    wanted = None if given.emotions is None else [e for e in given.emotions.split(",") if e in there]
    result = ei.causal_universality(
        subject,
        bank,
        texts,
        first,
        second,
        wanted,
        layer=given.layer,
        method=method,
        measure=given.measure,
        positions=given.positions,
        n_texts=given.texts,
        n_random=given.random,
        k=given.k,
        words=judged_by(source, second, bank),
        null_folder=given.out,
    )
    name = f"{first}_{second}_{source}_{method}_{given.layer}.parquet"
    given.out.mkdir(parents=True, exist_ok=True)
    result.to_frame().to_parquet(given.out / name)
    print(result, flush=True)
    return result


def section(result: Any, source: str, given: Any) -> list[str]:
    frame: Any = result.to_frame()
    whole = result.by_layer().iloc[0]
    passed = frame[frame["p_holm"] < 0.05]["emotion"].tolist()
    title = f"## {result.first} in {result.second} {source}, {whole['method']}: {', '.join(passed) or 'none'} beyond both nulls"
    names = {"emotion": "emotion", "n_texts": "texts", "own": "own", "ablate": "ablate", "swap": "swap"}
    names |= {"effect_lo": "effect, lo", "recovered": "recovered", "lo": "lo", "hi": "hi", "others": "others"}
    names |= {"others_hi": "others, 97.5%", "random": "random", "random_hi": "random, 97.5%", "p_others": "p others"}
    names |= {"p_rank": "rank p", "n_others": "of", "p_random": "p random", "n_random": "draws", "p_holm": "Holm"}
    names |= {"cosine": "cosine"}
    if result.frame["method"].iloc[0] == "features":
        names |= {
            "n_features_first": "put in",
            "n_features_second": "taken",
            "n_shared": "shared",
            "size_ratio": "size",
        }
    tested = frame[frame["recovered"].notna()]
    exchange = "-" if whole["p_exchange"] != whole["p_exchange"] else f"{whole['p_exchange']:.4f}"
    median = "-" if whole["recovered"] != whole["recovered"] else f"{whole['recovered']:.2f}"
    lines = [
        title,
        f"{whole['n_reliable']} of {whole['n_emotions']} emotions have an effect of their own; median recovered "
        f"{median}; counterparts against exchanged ones: p = {exchange}.",
    ]
    if len(tested):
        lines.append(markdown(tested[list(names)].rename(columns=names), {"p random": 4, "p others": 4, "Holm": 4}))
    rest = frame[frame["note"] != ""]
    lines += (
        ["\n".join(f"- {note}: {', '.join(rows['emotion'])}" for note, rows in rest.groupby("note"))]
        if len(rest)
        else []
    )
    return lines


def _settings(given: Any) -> str:
    return (
        f"Layer {given.layer}; {given.texts} texts of an emotion at most, cut after 40 tokens; {given.random} random sets at "
        f"most; changed: {given.positions}; measure: {given.measure}."
    )


_HEAD = """# Causal universality

`python -m benchmarks.causal_universality`. In texts of the second language the stream's component along the second language's
direction (or what its features add beyond their mean) is taken away (ablate), or replaced by the first language's (swap). The
subject's next word after a question in the text's language judges: log share of the emotion's words among all emotions' words.
recovered = (swap - ablate) / (own - ablate), with a 95% bootstrap interval over texts, only where own - ablate is above 0
beyond its interval. Others: the first language's other emotions but siblings in the same place, p from their mean and spread
(t), and the rank among them beside it; random: features that fire as often, of the same size. Holm over the emotions of one
table, of the larger p of both. Posts are judged by words that no direction saw; words are held-out concept words in carriers,
judged by the concept's other words."""


if __name__ == "__main__":
    main()
