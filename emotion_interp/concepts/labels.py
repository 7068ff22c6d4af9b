"""Labels of the public corpora, mapped onto the shipped emotions."""

from __future__ import annotations

STORY_NAMES: dict[str, tuple[str, ...]] = {
    "amusement": ("amused",),
    "anger": ("angry", "furious", "enraged", "irate", "mad"),
    "anxiety": ("anxious", "nervous", "worried", "uneasy", "on edge"),
    "awe": ("awestruck",),
    "boredom": ("bored",),
    "calm": ("calm", "peaceful", "serene", "relaxed", "at ease"),
    "compassion": ("compassionate", "empathetic", "sympathetic"),
    "contempt": ("contemptuous", "disdainful", "scornful"),
    "disgust": ("disgusted",),
    "embarrassment": ("embarrassed",),
    "envy": ("envious", "jealous"),
    "excitement": ("excited", "thrilled", "enthusiastic", "eager"),
    "fear": ("afraid", "frightened", "scared", "terrified"),
    "gratitude": ("grateful", "thankful"),
    "guilt": ("guilty", "remorseful"),
    "hope": ("hope", "hopeful", "optimistic"),
    "joy": ("happy", "joyful", "delighted", "elated"),
    "loneliness": ("lonely",),
    "love": ("loving",),
    "nostalgia": ("nostalgic",),
    "pride": ("proud",),
    "relief": ("relieved",),
    "sadness": ("sad", "unhappy", "heartbroken", "grief-stricken", "melancholy"),
    "shame": ("ashamed", "humiliated"),
    "surprise": ("surprised", "astonished"),
}
"""Emotion -> the story corpus's names for it. No story is about admiration, desire or disappointment."""

LABEL_NAMES: dict[str, str] = {
    "angry": "anger",
    "annoyance": "anger",
    "caring": "compassion",
    "grief": "sadness",
    "happy": "joy",
    "nervousness": "anxiety",
    "optimism": "hope",
    "remorse": "guilt",
    "sad": "sadness",
}
"""Labels of the public classifiers and data sets -> emotion, where the names differ."""

NO_EMOTION = ("approval", "confusion", "curiosity", "disapproval", "realization")
"""GoEmotions labels without a counterpart; texts with nothing else are left out."""
