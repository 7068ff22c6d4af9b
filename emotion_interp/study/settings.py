"""What decides a study: every choice that changes a number, hashed for resuming."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_of
from emotion_interp.features import Selection

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject

BASIC_EIGHT = ("anger", "fear", "joy", "sadness", "calm", "love", "disgust", "pride")
STIMULI = ("words", "scenes", "stories")
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
    corpus for the alignment);
    topics: topics of the corpus that are read; n_permutations: of every permutation test; doses: in units of the site's
    scale; n_random: random directions of the same norm; stages: which parts run.
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
    doses: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5)
    methods: tuple[str, ...] = ("dense", "dense_clean", "sae")
    n_random: int = 199
    new_tokens: int = 24
    stages: tuple[str, ...] = STAGES

    def __post_init__(self) -> None:
        if self.stimuli not in STIMULI:
            raise UnknownNameError("kind of stimuli", self.stimuli, STIMULI)
        if self.stimuli == "stories" and "alignment" in self.stages:
            # before any work is done
            if self.corpus is None:
                raise EmotionInterpError(
                    "stimuli='stories' needs a corpus of labelled texts; pass --corpus FILE.jsonl.gz."
                )
            if not Path(self.corpus).is_file():
                raise FileFormatError(f"the corpus {self.corpus} does not exist; give a .jsonl or .jsonl.gz file.")
        for stage in self.stages:
            if stage not in STAGES:
                raise UnknownNameError("stage", stage, STAGES)

    @property
    def bank_stimuli(self) -> str:
        """What the features are found with."""
        return "scenes" if self.stimuli == "scenes" else "words"

    def key(self, *names: str) -> dict[str, Any]:
        """The named choices, as they enter a stage's hash."""
        everything = asdict(self)
        return {name: everything[name] for name in names}


def fingerprint(subject: Subject) -> str:
    """Hash of a subject's weights and SAEs (name, shape, sum and sum of absolutes of every tensor)."""
    parts: list[Any] = [subject.backend, subject.name]
    for name, tensor in subject.model.state_dict().items():
        if hasattr(tensor, "is_floating_point") and tensor.is_floating_point():
            value = tensor.detach().double()
            parts.append((name, list(tensor.shape), float(value.sum()), float(value.abs().sum())))
    for site, reader in subject.readers.items():
        for name, tensor in reader.sae.state_dict().items():
            value = np.asarray(tensor.detach().double().cpu())
            parts.append((site.hook_name, name, list(tensor.shape), float(value.sum()), float(np.abs(value).sum())))
    return sha256_of(parts)
