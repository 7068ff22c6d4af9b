"""What decides a study: every choice that changes a number, hashed for resuming."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.arguments import check_fields
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError, UnsupportedError
from emotion_interp.core.files import sha256_of
from emotion_interp.features import Selection
from emotion_interp.geometry.coordinates import MIN_EMOTIONS

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject

BASIC_EIGHT = ("anger", "fear", "joy", "sadness", "calm", "love", "disgust", "pride")
STIMULI = ("words", "scenes", "stories", "shipped")
COORDINATES = ("label", "words")
JUDGES = ("words", "classifier")
FOUND_METHODS = ("dense", "dense_clean", "sae")
"""Kinds of direction that every search makes."""
ADDED_METHODS = ("trained", "sae_ts", "sae_output")
"""Kinds that can be added to a bank; a shipped one may have them."""
STAGES = ("features", "alignment", "ratings", "steering", "traces")

SENTENCES = {
    "en": (
        "She opened the letter and began to weep, for her brother would never come home again.",
        "He laughed out loud and danced around the kitchen because they had won.",
        "Something moved in the dark behind her, and she was too frightened to scream.",
    ),
    "zh": ("她打开信，眼泪流了下来，因为哥哥再也不会回家了。", "他非常生气，大声地骂了起来。"),
}


@dataclass(frozen=True)
class StudySettings:
    """Choices of one study; the defaults are those of `make demo`.

    norms: name or path for `load_norms`; stimuli: "words" in carriers, "scenes" (shipped texts), or "stories" (words for the features, labelled texts of a
    corpus for the alignment), or "shipped" (the bank that the project ships for this subject, tested on scenes);
    topics: topics of the corpus that are read; n_permutations: of every permutation test; steered_layers: of `layers`, those
    that steering tries, None for all; doses: in units of the site's scale; n_random: random directions of the same norm; judge: of steering, "words" (probability of the emotion's
    held-out words) or "classifier" (the bundled classifier of texts); emotions: of the concept set, None for all; cebra:
    add the CEBRA space to the alignment; coordinates: of the emotions, "label" (the rating of the emotion's name) or
    "words" (the mean rating of concept words that the subject was not shown: not with words); learning_curve: of the
    rated words, at the layer that predicts them best; stages: which parts run. preset and notes: where the settings come
    from, and which of them are our own choices; kept in study.json, they decide nothing.
    """

    norms: str = "builtin"
    stimuli: str = "words"
    corpus: str | None = None
    topics: tuple[int, int] = (72, 79)
    layers: tuple[int, ...] | None = None
    seed: int = 0
    position: str | None = None
    selection: Selection = field(default_factory=Selection)
    n_permutations: int = 5000
    max_rated_words: int | None = 4000
    steering_emotions: tuple[str, ...] = BASIC_EIGHT
    steered_layers: tuple[int, ...] | None = None
    doses: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5)
    methods: tuple[str, ...] = ("dense", "dense_clean", "sae")
    n_random: int = 199
    new_tokens: int = 24
    stages: tuple[str, ...] = STAGES
    emotions: tuple[str, ...] | None = None
    cebra: bool = False
    coordinates: str = "label"
    judge: str = "words"
    learning_curve: bool = False
    preset: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if self.stimuli not in STIMULI:
            raise UnknownNameError("kind of stimuli", self.stimuli, STIMULI)
        if self.judge not in JUDGES:
            raise UnknownNameError("judge", self.judge, JUDGES)
        if self.coordinates not in COORDINATES:
            raise UnknownNameError("coordinates", self.coordinates, COORDINATES)
        if self.coordinates == "words" and self.stimuli == "words":
            raise EmotionInterpError(
                "coordinates='words' rates emotions by words that the subject was not shown, and stimuli='words' shows "
                "them all; use stimuli='scenes' or 'stories', or coordinates='label'."
            )
        if self.stimuli == "shipped" and self.emotions is not None:
            raise EmotionInterpError(
                "the emotions of a shipped bank are fixed; leave emotions out, or use stimuli='scenes' or 'words'."
            )
        if self.stimuli == "stories" and "alignment" in self.stages:
            # before any work is done
            if self.corpus is None:
                raise EmotionInterpError(
                    "stimuli='stories' needs a corpus of labelled texts; pass --corpus FILE.jsonl.gz."
                )
            if not Path(self.corpus).is_file():
                raise FileFormatError(f"the corpus {self.corpus} does not exist; give a .jsonl or .jsonl.gz file.")
        if self.cebra and importlib.util.find_spec("cebra") is None:
            raise UnsupportedError("CEBRA is not installed; pip install 'emotion-interp[cebra]', or leave it out.")
        if not 0 <= self.topics[0] <= self.topics[-1] or len(self.topics) != 2:
            raise EmotionInterpError(f"topics are the first and the last one, such as (72, 79); got {self.topics!r}.")
        for stage in self.stages:
            if stage not in STAGES:
                raise UnknownNameError("stage", stage, STAGES)

    def check_for(self, subject: Subject, concepts: ConceptSet) -> None:
        """Refuse layers, emotions and methods that this subject and these concepts do not have, before any work."""
        sites = subject.sae_sites(self.layers)
        for layer in self.steered_layers or ():
            if "steering" in self.stages and layer not in {site.layer for site in sites}:
                raise UnknownNameError("layer to steer", str(layer), [str(site.layer) for site in sites])
        if self.emotions is not None:
            concepts.subset(emotions=self.emotions)
        count = len(concepts.emotions if self.emotions is None else set(self.emotions))
        if "alignment" in self.stages and self.stimuli not in ("stories", "shipped") and count < MIN_EMOTIONS:
            raise EmotionInterpError(
                f"an alignment needs at least {MIN_EMOTIONS} emotions, got {count}; take more, or leave the stage out "
                f"(stages: {', '.join(s for s in self.stages if s != 'alignment')})."
            )
        if self.steering_emotions != BASIC_EIGHT:
            for emotion in self.steering_emotions:
                if emotion not in concepts.emotions:
                    raise UnknownNameError("emotion", emotion, concepts.emotions)
        if self.bank_stimuli != "shipped":
            for method in self.methods:
                if method not in FOUND_METHODS:
                    raise UnknownNameError("direction method", method, FOUND_METHODS)

    @property
    def bank_stimuli(self) -> str:
        """What the features are found with."""
        return self.stimuli if self.stimuli in ("scenes", "shipped") else "words"

    def key(self, *names: str) -> dict[str, object]:
        """The named choices, as they enter a stage's hash."""
        everything = asdict(self)
        return {name: everything[name] for name in names}


def fingerprint(subject: Subject) -> str:
    """Hash of a subject's weights and SAEs (name, shape, sum and sum of absolutes of every tensor)."""
    parts: list[object] = [subject.backend, subject.name]
    for name, tensor in subject.model.state_dict().items():
        if hasattr(tensor, "is_floating_point") and tensor.is_floating_point():
            value = tensor.detach().double()
            parts.append((name, list(tensor.shape), float(value.sum()), float(value.abs().sum())))
    for site, reader in subject.readers.items():
        for name, tensor in reader.sae.state_dict().items():
            value = np.asarray(tensor.detach().double().cpu())
            parts.append((str(site), name, list(tensor.shape), float(value.sum()), float(np.abs(value).sum())))
    return sha256_of(parts)
