"""What a subject is shown of a stimulus: its text alone, or the conversation that it stands in."""

from __future__ import annotations

from collections.abc import Sequence

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.messages import TEXT_SLOT
from emotion_interp.core.types import Stimulus
from emotion_interp.subjects.subject import Subject


def shown(subject: Subject, stimuli: Sequence[Stimulus]) -> tuple[list[str], list[tuple[int, int]]]:
    """The text of each stimulus as the subject reads it, and its target's span there.

    Raises:
        UnsupportedError: stimuli in conversations, and the subject has no chat template or one that refuses their roles.
        EmotionInterpError: a text that spells a control token, or a target that the template cuts off.
    """
    pairs = [(s.text, s.span) if not s.messages else _in_conversation(subject, s) for s in stimuli]
    return [text for text, _ in pairs], [span for _, span in pairs]


def _in_conversation(subject: Subject, stimulus: Stimulus) -> tuple[str, tuple[int, int]]:
    number = next(i for i, (_, content) in enumerate(stimulus.messages) if TEXT_SLOT in content)
    # whoever writes {text} inside a stimulus means those letters
    filled = [
        (r, c.replace(TEXT_SLOT, stimulus.text) if i == number else c) for i, (r, c) in enumerate(stimulus.messages)
    ]
    text = subject.rendered([{"role": role, "content": content} for role, content in filled])
    start, stop = text.places[number]
    frame = stimulus.messages[number][1]
    # a template may strip the words that it writes
    shift = start - filled[number][1].index(text[start:stop]) + frame.index(TEXT_SLOT)
    span = (stimulus.span[0] + shift, stimulus.span[1] + shift)
    if span[0] < start or span[1] > stop:
        raise EmotionInterpError(
            f"the chat template of {subject.name} cuts off a part of the target of {stimulus.text[:60]!r}; take the white "
            "space around it away."
        )
    return text, span
