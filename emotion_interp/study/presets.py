"""Named settings of a whole study, with every choice in them that is ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from emotion_interp.core.errors import UnknownNameError
from emotion_interp.study.settings import BASIC_EIGHT, StudySettings

PAPER_EMOTIONS = (
    "admiration",
    "amusement",
    "anger",
    "anxiety",
    "awe",
    "boredom",
    "calm",
    "compassion",
    "contempt",
    "disappointment",
    "disgust",
    "embarrassment",
    "envy",
    "excitement",
    "fear",
    "gratitude",
    "guilt",
    "hope",
    "joy",
    "loneliness",
    "love",
    "pride",
    "relief",
    "sadness",
    "shame",
    "surprise",
)
"""26 of the shipped 28 emotions, without desire (a motive) and nostalgia (a mixture bound to memory)."""
PLAIN = (
    "Chat models are shown the carriers and prompts as plain texts, without their template: ours "
    "(`--chat`, or `ConceptSet.in_chat`, shows them in it)."
)
IN_CHAT = (
    "The user of a conversation says the words, rated words and scenes that are read, in the model's own chat template "
    "(`--chat`); prompts of the steering and sentences of the traces are plain texts: ours."
)
"""The note of a study whose stimuli stand in conversations, in place of `PLAIN`."""


@dataclass(frozen=True)
class PresetSaes:
    """The SAEs of one of a preset's models: a release, and where it has several widths, which."""

    release: str
    width: str | None = None


@dataclass(frozen=True)
class Preset:
    """Settings, languages, and the choices behind them that are ours (`notes`, one sentence each).

    `saes`: of each model (its hub name) that the preset was written for.
    """

    name: str
    settings: Mapping[str, object]
    languages: tuple[str, ...]
    notes: tuple[str, ...]
    saes: Mapping[str, PresetSaes] = field(default_factory=dict)

    def saes_of(self, model: str | None, saes: str | None) -> PresetSaes | None:
        """What is taken for a model where no SAEs are named, or those of the preset are; None: nothing of the preset's.

        Args:
            model: a hub name.
            saes: a release, or None.
        """
        known = self.saes.get(model or "")
        return known if known is not None and saes in (None, known.release) else None


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "paper": Preset(
            "paper",
            MappingProxyType(
                {
                    "emotions": PAPER_EMOTIONS,
                    "norms": "warriner",
                    "max_rated_words": None,
                    "n_permutations": 10_000,
                    "cebra": True,
                    "learning_curve": True,
                    "judge": "classifier",
                    "steering_emotions": BASIC_EIGHT,
                }
            ),
            ("en", "zh"),
            (
                "26 categories: the paper's list is not public; ours are the shipped 28 without desire (a motive) and "
                "nostalgia (a mixture bound to memory).",
                "Words of the categories, neutral words, carriers and scenes in English and Chinese: written for this "
                "project; the paper's are not public.",
                "Thresholds that select features (q, coverage, specificity): ours, on a discovery half, reported on the "
                "other half.",
                "Norms: Warriner et al. (2013), all 13,915 words; Chinese emotion spaces are compared with the English "
                "ratings of the emotions' names.",
                "CEBRA: learnt from the emotions' identity alone, whole emotions held out; its dimension and iterations "
                "are ours. Ratings never enter it.",
                "Ridge: ten outer and five inner folds, penalties from 1 to 100,000: ours.",
                "10,000 permutations of every test, corrected over layers: ours.",
                "Steering: eight basic emotions, doses in units of the site's median norm, layer and dose chosen on other "
                "prompts than those reported: ours.",
                "Judge of steered text: the bundled classifier (TF-IDF, logistic regression), which never saw the "
                "subject; the paper's is not public.",
                PLAIN,
            ),
            MappingProxyType(
                {
                    "google/gemma-2-9b-it": PresetSaes("gemma-scope-9b-it-res-canonical", "16k"),
                    "meta-llama/Meta-Llama-3-8B-Instruct": PresetSaes("llama-3-8b-it-res-jh"),
                }
            ),
        )
    }
)


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        UnknownNameError: no such preset.

    Example:
        >>> len(preset("paper").settings["emotions"])
        26
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]


def preset_settings(name: str, **changes: object) -> StudySettings:
    """The settings of a preset; what is given by name wins.

    Raises:
        UnknownNameError: no such preset.

    Example:
        >>> preset_settings("paper", n_permutations=99).n_permutations
        99
    """
    chosen = preset(name)
    return replace(StudySettings(), **{**chosen.settings, "preset": name, "notes": chosen.notes, **changes})
