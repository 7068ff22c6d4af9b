"""Who speaks where in a conversation: turns in characters or tokens, and the positions that are named after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from emotion_interp.core.errors import EmotionInterpError

POSITIONS = ("all", "all_with_bos", "prompt", "generated", "from_last_prompt_token")
"""Named selections of token positions. Only "all_with_bos" and explicit lists ever touch BOS. A conversation has
`TURN_POSITIONS` too."""

TURN_POSITIONS = ("system", "user_turn", "assistant_turn", "assistant_start", "end_of_user")
"""Positions that only a conversation has.

"system", "user_turn" and "assistant_turn" are the words of a speaker, in every turn of theirs, without what the template
writes around them; what is generated is the assistant's turn. "assistant_start" is the token before each of the
assistant's turns, from which its first token is predicted. "end_of_user" is the token with which the template closes a
user's turn (`<|im_end|>`, `<end_of_turn>`, `<|eot_id|>`), or the turn's last where it writes none.
"""

OPEN = int(np.iinfo(np.int64).max)
"""Where a turn that is being generated stops."""


@dataclass(frozen=True)
class Turn:
    """One turn, from the header to the mark that closes it; half-open ranges of characters or of tokens.

    Attributes:
        role: who speaks.
        start: where its header begins.
        content: where the speaker's words stand.
        mark: where the words are over and the template closes the turn; empty where it writes nothing.
    """

    role: str
    start: int
    content: tuple[int, int]
    mark: tuple[int, int]


@dataclass(frozen=True)
class Turns:
    """The turns of one text, in its order.

    Attributes:
        each: the turns.
        opened: the last is the assistant's and goes on with what is generated.
        end_ids: ids of the tokens that close an assistant's turn.
    """

    each: tuple[Turn, ...]
    opened: bool
    end_ids: tuple[int, ...] = ()

    def in_tokens(self, offsets: Sequence[tuple[int, int]], cut_at: int | None = None) -> Turns:
        """The same turns counted in tokens.

        Args:
            offsets: (start, end) in characters of each token, BOS included.
            cut_at: the character at which the context ended; turns that begin beyond it are left out.
        """
        starts, stops = np.asarray(offsets, dtype=np.int64).reshape(-1, 2).T
        count, end = len(starts), OPEN if cut_at is None else cut_at

        def tokens(span: tuple[int, int]) -> tuple[int, int]:
            first = int(np.searchsorted(stops, span[0], side="right"))
            # a token that holds the end of one part and the begin of the next belongs to the words
            return first, max(first, int(np.searchsorted(starts, span[1], side="left"))) if span[1] > span[0] else first

        found = []
        for turn in self.each:
            if turn.content[0] > end:
                break
            content, mark = tokens(turn.content), tokens(turn.mark)
            # what closes a turn beyond the context is no token that is there
            beyond = turn.content[1] > end or (turn.mark[1] > turn.mark[0] >= end)
            mark = (count, count + 1) if beyond else (max(mark[0], content[1]), max(mark[1], content[1]))
            start = min(tokens((turn.start, turn.start))[0], content[0])
            found.append(Turn(turn.role, start, content, mark))
        return replace(self, each=tuple(found), opened=self.opened and len(found) == len(self.each))

    def spans(self, position: str) -> list[tuple[int, int]]:
        """Where a position of `TURN_POSITIONS` is, in the turns' unit; the turn that goes on stops at `OPEN`.

        Args:
            position: its name.
        """
        if position == "end_of_user":
            closed = [t for t in self.each if t.role == "user"]
            ends = [t.mark[0] if t.mark[1] > t.mark[0] else t.content[1] - 1 for t in closed]
            return [(end, end + 1) for t, end in zip(closed, ends, strict=True) if end >= t.start]
        if position == "assistant_start":
            return [(t.content[0] - 1, t.content[0]) for t in self.each if t.role == "assistant" and t.content[0] > 0]
        role = position.removesuffix("_turn")
        found = [t.content for t in self.each if t.role == role]
        if self.opened and role == "assistant":
            found[-1] = (found[-1][0], OPEN)
        return [(start, stop) for start, stop in found if stop > start]

    def speakers(self, count: int) -> list[str]:
        """Whose turn each of the first `count` tokens (or characters) belongs to; "" before the first turn."""
        found = [""] * count
        for turn in self.each:
            found[turn.start :] = [turn.role] * (count - turn.start)
        return found[:count]


class ChatText(str):
    """A conversation as its model's template writes it: a text that knows who speaks where.

    Attributes:
        turns: in characters.
        places: [message] -> (start, stop) of its words.
    """

    turns: Turns
    places: tuple[tuple[int, int], ...]

    def __new__(cls, text: str, turns: Turns, places: Sequence[tuple[int, int]] = ()) -> ChatText:
        made = super().__new__(cls, text)
        made.turns, made.places = turns, tuple(places)
        return made


class TokenRow(list[int]):
    """Token ids of one row; `turns`, in tokens, where they are a conversation's."""

    turns: Turns | None = None


def mask_of(position: str, at: np.ndarray, rows: Sequence[Turns | None] | None) -> np.ndarray:
    """Which tokens of a batch stand at a named position: [row, column].

    Args:
        position: one of `TURN_POSITIONS`.
        at: [row, column], each column's position in its row's text; -1 on padding.
        rows: the turns of each row.

    Raises:
        EmotionInterpError: a row is no conversation.
    """
    mask = np.zeros(at.shape, dtype=bool)
    for k, turns in enumerate(conversations(position, len(at), rows)):
        for start, stop in turns.spans(position):
            mask[k] |= (at[k] >= start) & (at[k] < stop)
    return mask & (at >= 0)


def conversations(position: str, count: int, rows: Sequence[Turns | None] | None) -> list[Turns]:
    """The turns of every row.

    Raises:
        EmotionInterpError: a row is no conversation.
    """
    found = [turns for turns in rows or () if turns is not None]
    if len(found) < count:
        raise EmotionInterpError(
            f"the position {position!r} is a place in a conversation, and this is a plain text; give messages, as "
            '[{"role": "user", "content": ...}], to chat, generate or emotion_trace, or take another position.'
        )
    return found
