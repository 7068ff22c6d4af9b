"""Who says what a text feels like: next words, text judges, valence and arousal; coherence and content; prompts."""

from emotion_interp.judges.coherence import distinct_2, is_coherent, perplexity
from emotion_interp.judges.content import content_overlap, content_similarity, content_words
from emotion_interp.judges.judging import TextJudge
from emotion_interp.judges.next_word import NextWords, next_word_probability, next_words
from emotion_interp.judges.prompts import FURTHER_PROMPTS, LATER_PROMPTS, NEUTRAL_PROMPTS, STORY_PROMPTS
from emotion_interp.judges.text_judges import BundledJudge, ClassifierJudge, ValenceArousalJudge, load_judge
from emotion_interp.judges.training import train_judge

__all__ = [
    "BundledJudge",
    "ClassifierJudge",
    "FURTHER_PROMPTS",
    "LATER_PROMPTS",
    "NEUTRAL_PROMPTS",
    "NextWords",
    "STORY_PROMPTS",
    "TextJudge",
    "ValenceArousalJudge",
    "content_overlap",
    "content_similarity",
    "content_words",
    "distinct_2",
    "is_coherent",
    "load_judge",
    "next_word_probability",
    "next_words",
    "perplexity",
    "train_judge",
]
