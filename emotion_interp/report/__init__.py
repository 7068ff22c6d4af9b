"""The HTML report and the views of a text."""

from emotion_interp.report.data import StudyData
from emotion_interp.report.feature_card import FeatureCard, feature_card
from emotion_interp.report.feature_map import FeatureMap, feature_map
from emotion_interp.report.page import render_report, write_report
from emotion_interp.report.tokens import TokenView, display_units, merge_bytes, token_view
from emotion_interp.report.trace import EmotionTrace, emotion_trace

__all__ = [
    "EmotionTrace",
    "FeatureCard",
    "FeatureMap",
    "StudyData",
    "TokenView",
    "display_units",
    "emotion_trace",
    "feature_card",
    "feature_map",
    "merge_bytes",
    "render_report",
    "token_view",
    "write_report",
]
