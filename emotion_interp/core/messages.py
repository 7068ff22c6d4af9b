"""Conversations as messages: who says what, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError

ROLES = ("system", "user", "assistant")
"""Speakers of a conversation."""

TEXT_SLOT = "{text}"
"""Where a stimulus stands in the messages around it."""

Message = Mapping[str, str]
"""One message: {"role": "user", "content": "..."}; roles are those of `ROLES`."""

Pairs = tuple[tuple[str, str], ...]
"""(role, content) of each message."""


def is_messages(value: object) -> TypeGuard[Sequence[Message]]:
    """Whether something is one conversation: a list of messages."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and isinstance(value[0], Mapping)


def checked_messages(messages: object) -> Pairs:
    """(role, content) of each message.

    Raises:
        EmotionInterpError: no list of messages with a role and a text.
        UnknownNameError: another role.

    Example:
        >>> checked_messages([{"role": "user", "content": "Hello"}])
        (('user', 'Hello'),)
    """
    example = 'a conversation is a list of messages such as {"role": "user", "content": "Hello"}'
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise EmotionInterpError(f"{example}, got {messages!r:.80}.")
    pairs = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise EmotionInterpError(f"{example}; message {number} is {message!r:.80}.")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise UnknownNameError(f"role of message {number}", role, ROLES)
        if not isinstance(content, str):
            raise EmotionInterpError(f"the content of message {number} is a text, got {content!r:.80}.")
        pairs.append((role, content))
    return tuple(pairs)


def checked_frame(messages: Any) -> Pairs:
    """(role, content) of messages in one of which `TEXT_SLOT` stands for a stimulus, once.

    Raises:
        EmotionInterpError: no messages, or no slot, or several.

    Example:
        >>> checked_frame([{"role": "user", "content": "Think of: {text}"}])
        (('user', 'Think of: {text}'),)
    """
    pairs = checked_messages(messages)
    if sum(content.count(TEXT_SLOT) for _, content in pairs) != 1:
        raise EmotionInterpError(
            f"the messages around a stimulus need {TEXT_SLOT} once, where it is shown, got {list(messages)!r:.200}. For "
            f'example: {{"role": "user", "content": "{TEXT_SLOT}"}}.'
        )
    return pairs
