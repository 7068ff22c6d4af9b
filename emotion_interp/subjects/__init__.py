"""Load or wrap a model and its SAEs: the subject of a study."""

from emotion_interp.subjects.load_options import LoadOptions
from emotion_interp.subjects.loading import load_subject
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText, span_tokens

__all__ = ["LoadOptions", "SaeChoice", "Subject", "TokenizedText", "load_subject", "span_tokens"]
