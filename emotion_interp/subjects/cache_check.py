"""Before a subject generates: does a KV cache, and does padding on the left, leave its logits as they are?

Recurrent models, some position schemes and some pairs of library versions do not; then the text is written without.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import UnsupportedError, tell
from emotion_interp.subjects.checks import difference, probe_of, resting_hooks, tolerance
from emotion_interp.subjects.columns import Columns, left_padded
from emotion_interp.subjects.plan import evaluation_mode

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

_STEPS = 2
"""Single tokens that follow the prompt, one at a time."""


@dataclass(frozen=True)
class Exactness:
    """What leaves a subject's logits as they are.

    Attributes:
        cache: keeping keys and values (or a recurrent state) from token to token.
        padding: rows padded on the left to one length, without a cache.
        padding_with_cache: the same with a cache.
    """

    cache: bool
    padding: bool
    padding_with_cache: bool


_KNOWN: weakref.WeakKeyDictionary[object, Exactness] = weakref.WeakKeyDictionary()


def exactness(subject: Subject) -> Exactness:
    """Measured once for each subject, on a few tokens of a short text; hooks rest meanwhile.

    Raises:
        UnsupportedError: the model runs in no way.

    Warns:
        UserWarning: generation will do without the cache.
    """
    if subject not in _KNOWN:
        _KNOWN[subject] = found = _measured(subject)
        if not found.cache:
            tell(
                f"{subject.name} is run without its cache, which is slower: its cached logits differ from the uncached "
                "ones (a recurrent model or position scheme, or versions that do not fit together)."
            )
    return _KNOWN[subject]


def _measured(subject: Subject) -> Exactness:
    rows = _probe_rows(subject)
    limits = tolerance(subject.model)
    with evaluation_mode(subject.model), resting_hooks(subject.model):
        alone = [_last(subject, [row], False) for row in rows]
        if not all(bool(logits.isfinite().all()) for logits in alone):
            # whoever decodes refuses NaN, and says what may help
            return Exactness(True, True, True)

        def same(got: list[torch.Tensor] | None) -> bool:
            if got is None:
                return False
            pairs = zip(got, alone if len(got) > 1 else alone[:1], strict=True)
            return all(difference(a, b).within(limits) for a, b in pairs)

        def tried(chosen: Sequence[list[int]], cache: bool) -> bool:
            try:
                return same(_split(_last(subject, chosen, cache), len(chosen)))
            # whatever a library raises where it cannot do this: then it is not done
            except Exception:
                return False

        cache = tried(rows[:1], True)
        return Exactness(cache, tried(rows, False), cache and tried(rows, True))


def _probe_rows(subject: Subject) -> list[list[int]]:
    """Two rows of different lengths, the longer first."""
    tokens = probe_of(subject.model, subject.tokenizer, subject.context)
    length = max(_STEPS + 2, min(14, len(tokens), subject.context - 1))
    tokens = (tokens * (length // len(tokens) + 1))[:length]
    return [tokens, tokens[: max(_STEPS + 1, length // 2)]]


def _last(subject: Subject, rows: Sequence[list[int]], cache: bool) -> torch.Tensor:
    """Logits after the prompt and after each single token that follows it: [row, step, vocabulary]."""
    import torch

    prompts = [row[:-_STEPS] for row in rows]
    ids, real = left_padded(prompts)
    lengths = np.asarray([len(p) for p in prompts])
    columns = Columns(subject, lengths, np.arange(len(rows)), subject.prepends_bos, cache)
    found = [columns.extend(ids, real)]
    for step in range(_STEPS, 0, -1):
        found.append(columns.extend(np.asarray([[row[-step]] for row in rows])))
    return torch.stack([f.float() for f in found], 1)


def _split(logits: torch.Tensor, rows: int) -> list[torch.Tensor]:
    return [logits[i] for i in range(rows)]


def can_pad(subject: Subject, use_cache: bool, lengths: Sequence[int]) -> bool:
    """Whether rows of these lengths may be padded on the left to one length; nothing is measured for rows of one length."""
    if len(set(lengths)) < 2:
        return True
    found = exactness(subject)
    return found.padding_with_cache if use_cache and found.cache else found.padding


def check_padding(subject: Subject, use_cache: bool, real: np.ndarray) -> None:
    """Refuse padded rows where they would change the logits.

    Raises:
        UnsupportedError: they would.
    """
    if not real.all() and not can_pad(subject, use_cache, [0, 1]):
        raise UnsupportedError(
            f"{subject.name} gives other logits to a row that is padded on the left; run rows of one length together."
        )
