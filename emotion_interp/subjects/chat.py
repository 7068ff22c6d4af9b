"""Conversations as the model's own chat template writes them, and where in that text each speaker's words stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from emotion_interp.core.errors import EmotionInterpError, UnsupportedError
from emotion_interp.core.messages import Pairs, checked_messages
from emotion_interp.core.scopes import lock_of
from emotion_interp.subjects.turns import ChatText, Turn, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: object,
    name: str = "the model",
    template_options: Mapping[str, object] | None = None,
) -> ChatText:
    """A conversation as a text, token for token what `apply_chat_template` gives, with the place of every turn.

    A conversation that ends with the user (or the system) gets the header of the assistant's turn (generation prompt).

    Args:
        tokenizer: with a chat template.
        messages: the conversation.
        name: of the model, for errors.
        template_options: variables of the template, such as `enable_thinking` or `date_string`.

    Raises:
        UnsupportedError: no template, or the template refuses these messages or leaves one out.
        EmotionInterpError: no messages; a message that spells a control token.
    """
    pairs = checked_messages(messages)
    if not getattr(tokenizer, "chat_template", None):
        raise UnsupportedError(
            f"{name} has no chat template, so it is no chat model; give plain texts, or set tokenizer.chat_template."
        )
    refuse_control_tokens(tokenizer, pairs)
    writer = _Writer(tokenizer, name, dict(template_options or {}))
    text = writer.write(pairs)
    frame = _with_thoughts(writer.frame(tuple(role for role, _ in pairs)), [content for _, content in pairs])
    places = _placed(text, frame, [content for _, content in pairs])
    if places is None:
        raise UnsupportedError(
            f"the chat template of {name} changes the words of these messages; they cannot be located."
        )
    return ChatText(text, _turns(writer, text, pairs, frame, places), [places[i] for i in range(len(pairs))])


def left_open(text: ChatText) -> ChatText:
    """The same conversation, to be continued: cut behind the assistant's last words, where it ends with those."""
    if text.turns.opened:
        return text
    *before, last = text.turns.each
    end = last.content[1]
    turns = Turns((*before, Turn(last.role, last.start, last.content, (end, end))), True, text.turns.end_ids)
    return ChatText(text[:end], turns, text.places)


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Texts that the tokenizer reads as one special token wherever they stand."""
    added = {str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return {text for text in added | set(tokenizer.all_special_tokens) if text.strip()}


def refuse_control_tokens(tokenizer: PreTrainedTokenizerBase, pairs: Pairs) -> None:
    """Refuse words that the model would take for the template's own marks.

    Raises:
        EmotionInterpError: a message spells one.
    """
    marks = control_tokens(tokenizer)
    for number, (role, content) in enumerate(pairs):
        spelled = next((mark for mark in sorted(marks, key=len, reverse=True) if mark in content), None)
        if spelled is None and content:
            # a tokenizer may normalise other spellings into one
            with lock_of(tokenizer):
                ids = tokenizer(content, add_special_tokens=False, verbose=False)["input_ids"]
            spelled = next(
                (t for t in tokenizer.convert_ids_to_tokens(ids) if t in marks and t != tokenizer.unk_token), None
            )
        if spelled is not None:
            raise EmotionInterpError(
                f"message {number} ({role}) spells the control token {spelled!r}, which the model would take for the "
                "template's own; take it out, or break it with a space."
            )


class _Writer:
    """One tokenizer's template, and what it writes around messages."""

    def __init__(self, tokenizer: Any, name: str, options: dict[str, object]) -> None:
        self.tokenizer, self.name, self.options = tokenizer, name, options
        self._kept = _KEPT.setdefault(tokenizer, {})
        self._key = (str(tokenizer.chat_template), repr(sorted(options.items())))

    def write(self, pairs: Pairs, generation: bool | None = None) -> str:
        messages = [{"role": role, "content": content} for role, content in pairs]
        opened = pairs[-1][0] != "assistant" if generation is None else generation
        try:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=opened, **self.options
            )
        # the template is a program of strangers, and raises what it likes
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            roles = ", ".join(role for role, _ in pairs)
            remedy = (
                "put the system's words before the first user's" if pairs[0][0] == "system" else "change their order"
            )
            raise UnsupportedError(
                f"the chat template of {self.name} refuses the roles {roles} ({reason.rstrip('.')}); {remedy}."
            ) from error

    def frame(self, roles: tuple[str, ...], generation: bool | None = None) -> list[tuple[int, str]]:
        """What stands before each message, by the order in which they are written, and after the last: (message, text).

        Raises:
            UnsupportedError: the template leaves a message out, or writes it twice.
        """
        key = (*self._key, roles, generation)
        if key not in self._kept:
            text = self.write(tuple((role, _slot(i)) for i, role in enumerate(roles)), generation)
            parts = re.split("\ue000(\\d+)\ue001", text)
            order = [int(number) for number in parts[1::2]]
            if sorted(order) != list(range(len(roles))):
                lost = next(i for i in range(len(roles)) if order.count(i) != 1)
                raise UnsupportedError(
                    f"the chat template of {self.name} writes message {lost} ({roles[lost]}) {order.count(lost)} times; "
                    "leave it out, or put its words into the user's message."
                )
            self._kept[key] = [*zip(order, parts[::2], strict=False), (-1, parts[-1])]
        return self._kept[key]

    def closing(self, role: str) -> str | None:
        """What is written behind a message of a role where nothing follows; None where that cannot be known."""
        before = {"assistant": ("user", "assistant"), "user": ("user",), "system": ("system",)}[role]
        try:
            return self.frame(before, generation=False)[-1][1]
        except UnsupportedError:
            return None

    def default_system(self, first: str) -> tuple[str, str] | None:
        """(header, closing) of a system's turn where a text begins with one that no message asked for."""
        try:
            (_, header), (_, between), _ = self.frame(("system", "user"))
        except UnsupportedError:
            return None
        fits = header and len(first) >= len(header) + len(between)
        return (header, between) if fits and first.startswith(header) and first.endswith(between) else None


_KEPT: WeakKeyDictionary[object, dict[object, list[tuple[int, str]]]] = WeakKeyDictionary()


def _slot(number: int) -> str:
    return f"\ue000{number}\ue001"


def _answer(text: str) -> str:
    """What an assistant says after it has thought."""
    return text.split("</think>")[-1].lstrip("\n")


_CHANGES = (
    str,
    str.strip,
    str.rstrip,
    str.lstrip,
    *(lambda t, how=how: how(t, "\n") for how in (str.strip, str.lstrip)),
    _answer,
    lambda t: _answer(t).strip(),
)
"""What templates do to a message."""
_NO_THOUGHT = "<think>\n\n</think>"


def _with_thoughts(frame: list[tuple[int, str]], contents: list[str]) -> list[tuple[int, str]]:
    """The frame with what an assistant thought in its place: a template of a model that thinks takes it out of the words."""
    found = []
    for number, before in frame:
        if number >= 0 and "</think>" in contents[number]:
            thought = contents[number].split("</think>")[0].split("<think>")[-1].strip("\n")
            before = before.replace(_NO_THOUGHT, f"<think>\n{thought}\n</think>")
        found.append((number, before))
    return found


def _placed(text: str, frame: list[tuple[int, str]], contents: list[str]) -> dict[int, tuple[int, int]] | None:
    """Where each message's words stand; None where they cannot be found."""
    at, found = len(frame[0][1]), {}
    if not text.startswith(frame[0][1]):
        return None
    for (number, _), (following, after) in pairwise(frame):
        for change in _CHANGES:
            stop = at + len(change(contents[number]))
            whole = text[at:] == change(contents[number]) + after if following < 0 else True
            if whole and text.startswith(change(contents[number]) + after, at):
                break
        else:
            return None
        found[number] = (at, stop)
        at = stop + len(after)
    return found


def _turns(
    writer: _Writer, text: str, pairs: Pairs, frame: list[tuple[int, str]], places: dict[int, tuple[int, int]]
) -> Turns:
    marks = control_tokens(writer.tokenizer)
    found: list[Turn] = []
    start, opened = 0, pairs[-1][0] != "assistant"
    system = writer.default_system(frame[0][1]) if pairs[0][0] != "system" else None
    if system is not None:
        header, between = system
        closing = _closing(between, writer.closing("system"), marks)
        end = len(frame[0][1]) - len(between)
        start = end + len(closing)
        found.append(Turn("system", 0, (len(header), end), (end, start)))
    for (number, _), (following, after) in pairwise(frame):
        role, (first, stop) = pairs[number][0], places[number]
        closing = after if following < 0 and not opened else _closing(after, writer.closing(role), marks)
        end = stop + len(closing)
        found.append(Turn(role, start, (first, stop), (stop, end)))
        start = end
    if opened:
        end = len(text)
        found.append(Turn("assistant", start, (end, end), (end, end)))
    return Turns(tuple(found), opened, _end_ids(writer, marks))


def _closing(after: str, closing: str | None, marks: set[str]) -> str:
    """The part of what stands between two messages that closes the first."""
    if closing is not None and after.startswith(closing):
        return closing
    first = re.search("|".join(map(re.escape, sorted(marks, key=len, reverse=True))), after) if marks else None
    return (
        ""
        if first is None
        else after[: first.end() + len(after[first.end() :]) - len(after[first.end() :].lstrip("\n"))]
    )


def _end_ids(writer: _Writer, marks: set[str]) -> tuple[int, ...]:
    """The special tokens with which the template closes an assistant's turn: generation ends there."""
    closing = writer.closing("assistant") or ""
    return tuple(sorted({writer.tokenizer.convert_tokens_to_ids(m) for m in marks if closing.startswith(m)}))
