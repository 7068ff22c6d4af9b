"""Conversations as the shell takes them: `--chat` shows stimuli in one, `--messages` reads some from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.core.errors import EmotionInterpError, FileFormatError

if TYPE_CHECKING:
    from emotion_interp.core.messages import Message
    from emotion_interp.subjects import Subject

Talk = Sequence["Message"]
Chat = Annotated[
    bool,
    typer.Option("--chat", help="Each stimulus said by the user, in the model's own chat template (words, scenes)."),
]
Messages = Annotated[
    Path | None,
    typer.Option(
        "--messages",
        callback=checks.old_file,
        help='JSON file with a conversation: [{"role": "user", "content": "Hello"}]; or with a list of several.',
    ),
]
Positions = Annotated[
    str,
    typer.Option(
        "--positions",
        callback=checks.one_of("positions", checks.steering_positions),
        help="Tokens that are steered: from_last_prompt_token, generated, prompt, all; of a conversation also "
        "assistant_turn, user_turn, system, assistant_start, end_of_user.",
    ),
]


def conversations_in(path: Path | None) -> list[Talk]:
    """The conversations of a file; none without one.

    Raises:
        FileFormatError: no JSON, or no messages in it.
    """
    if path is None:
        return []
    from emotion_interp.core.files import read_json
    from emotion_interp.core.messages import checked_messages, is_messages

    content = read_json(path)
    talks = content if isinstance(content, list) and content and not is_messages(content) else [content]
    for talk in talks:
        try:
            checked_messages(talk)
        except EmotionInterpError as error:
            raise FileFormatError(f"{path}: {error}") from error
    return talks


def said_in(talks: Sequence[Talk]) -> list[str]:
    """The words of conversations, without who says them."""
    return ["\n".join(message["content"] for message in talk) for talk in talks]


def check_prompts(prompts: Sequence[str], talks: Sequence[Talk], positions: str) -> None:
    """Refuse an empty prompt, prompts beside conversations, and positions that only a conversation has.

    Raises:
        EmotionInterpError: one of these.
    """
    from emotion_interp.subjects.turns import TURN_POSITIONS

    if any(not prompt.strip() for prompt in prompts):
        raise EmotionInterpError("a prompt is empty; give at least one word to continue.")
    if prompts and talks:
        raise EmotionInterpError("prompts are continued and --messages are answered; give the ones or the others.")
    if positions in TURN_POSITIONS and not talks:
        raise EmotionInterpError(
            f"--positions {positions} is a place in a conversation, and there is none; give --messages FILE."
        )


def check_template(subject: Subject, talks: Sequence[Talk]) -> list[str]:
    """Conversations as the model's template writes them, to be gone on with; before anything is searched or written.

    Raises:
        UnsupportedError: no template, or one that refuses these messages.
    """
    return [subject.rendered(talk, continued=True) for talk in talks]


def check_chat(chat: bool, stimuli: str | None) -> None:
    """Refuse stimuli that `--chat` does not show in a conversation.

    Raises:
        EmotionInterpError: shipped ones or stories.
    """
    if chat and stimuli in ("shipped", "stories"):
        raise EmotionInterpError(
            f"--chat shows words and scenes in the model's chat template, not {stimuli}; give --stimuli words or scenes."
        )
