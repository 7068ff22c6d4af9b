"""One pass of a subject over many texts: bucketed by length, stopped after the last site, one reader per backend.

Inside a hook the activations are handed on and never kept. Texts are right-padded; under causal attention a real token
never sees padding, so no mask is needed and none can be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.host import to_device
from emotion_interp.core.errors import NotFiniteError
from emotion_interp.core.progress import Progress, ticking
from emotion_interp.core.scopes import attach, check_open, lock_of, open_scopes, setting, surely
from emotion_interp.core.types import Site
from emotion_interp.subjects.plan import ForwardPlan, current_plan, evaluation_mode, using_plan
from emotion_interp.subjects.sae_facts import tell_of_long_texts
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText
from emotion_interp.subjects.turns import Turns

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 2048
"""Padded tokens of one forward pass; on CPUs larger batches lose more to page faults than they gain."""

OnSite = Callable[[Site, "torch.Tensor", "Batch"], None]
"""Called with (site, activations [row, position, d], batch) inside the hook."""


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass: which texts they are, how many tokens of each are real, and whether the first is BOS."""

    rows: np.ndarray
    lengths: np.ndarray
    has_bos: np.ndarray


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Indices of texts, longest first, grouped so that rows x longest row stays within a token budget."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


# Long: the hook, its pass and what must hold after it share one state.
def forward_pass(
    subject: Subject,
    tokens: Sequence[TokenizedText],
    sites: Sequence[Site],
    on_site: OnSite,
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = None,
) -> None:
    """Run the subject once over all texts and hand each site's activations to `on_site`.

    Args:
        subject: the model.
        tokens: tokenised texts.
        sites: where to read; checked against the model first, since a bridge ignores an unknown hook name.
        on_site: receives (site, activations [row, position, d_model], batch) while the pass runs.
        batch_tokens: padded tokens of one batch.
        progress: receives the number of texts of each finished batch; False: silence; default: a bar after a second.

    Raises:
        UnknownNameError: the model has no such site.
        NotFiniteError: NaN or infinite activations.
    """

    sites = list(dict.fromkeys(sites))
    subject.check_sites(sites)
    if not tokens or not sites:
        return
    lengths = [len(t) for t in tokens]
    tell_of_long_texts(subject, lengths, sites)
    reading = _Reading()

    def make_hook(site: Site) -> Callable[..., None]:
        # keyed by closure: on a bridge hook.name is the canonical name, not the alias asked for
        def hook_fn(activations: torch.Tensor, hook: object) -> None:
            del hook
            # the hook point is shared: other threads' passes go through here too
            if _READING.get() is reading and site in reading.waiting:
                reading.waiting.discard(site)
                flat = activations.flatten(2) if activations.ndim == 4 else activations
                on_site(site, flat, reading.batch)
                if not reading.waiting and subject.backend == "bridge":
                    from transformer_lens.model_bridge.exceptions import StopAtLayerException

                    # the bridge's forward catches this; stop_at_layer would still run the unembedding
                    raise StopAtLayerException(activations)

        return hook_fn

    options: dict[str, object] = {"return_type": None, **subject.uncached_options}
    if subject.backend == "hooked":
        options["stop_at_layer"] = max(site.layer for site in sites) + 1
        # under a left-padding tokenizer HookedTransformer guesses a mask from pad ids, and would hide a BOS that is pad
        options["padding_side"] = "right"
    scopes = open_scopes(subject.model)
    bar = ticking(progress, len(tokens), "reading")
    with bar as tick, surely(evaluation_mode(subject.model)) as undoing, undoing:
        for site in sites:
            attach(subject.model.hook_dict[site.hook_name], make_hook(site), undoing)
        for rows in batches(lengths, batch_tokens):
            width = lengths[rows[0]]
            ids = np.zeros((len(rows), width), dtype=np.int64)
            for i, row in enumerate(rows):
                ids[i, : lengths[row]] = tokens[row].ids
            reading.batch = Batch(
                rows, *(np.asarray(x) for x in zip(*((lengths[r], tokens[r].has_bos) for r in rows), strict=True))
            )
            reading.waiting.update(sites)
            plan = _plan(reading.batch, width, [tokens[row].turns for row in rows])
            with (
                lock_of(subject.model),
                surely(setting(_READING, reading)) as until_done,
                until_done,
                surely(using_plan(plan)) as announced,
                announced,
            ):
                subject.model(to_device(ids, subject.device), **options)
            check_open(scopes)
            if reading.waiting:
                missing = sorted(reading.waiting)[0]
                raise NotFiniteError(f"the hook {missing.hook_name} never fired in a forward pass of {subject.name}.")
            tick(len(rows))


def _plan(batch: Batch, width: int, turns: Sequence[Turns | None]) -> ForwardPlan | None:
    """What steering needs to know of a pass of conversations: who speaks where. Of texts it works the plan out itself."""
    if not any(turns):
        return current_plan()
    columns = np.broadcast_to(np.arange(width), (len(batch.rows), width))
    positions = np.where(columns < batch.lengths[:, None], columns, -1)
    return ForwardPlan(positions, batch.lengths, np.arange(len(batch.rows)), batch.has_bos, turns)


class _Reading:
    """One pass: the batch that is running, and the sites it has not reached yet."""

    batch: Batch

    def __init__(self) -> None:
        self.waiting: set[Site] = set()


_READING: ContextVar[_Reading | None] = ContextVar("emotion_interp_reading", default=None)


def real_tokens(batch: Batch, width: int) -> np.ndarray:
    """Mask of real tokens without BOS and padding, from lengths (pad, bos and eos are often one id): [row, position]."""
    position = np.arange(width)[None, :]
    return (position >= batch.has_bos[:, None]) & (position < batch.lengths[:, None])
