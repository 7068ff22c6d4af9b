"""A pass that runs shared beginnings once: keys and values of a prefix are kept, and every text forks from them.

It keeps the promise of `forward_pass`: `on_site` gets the activations of whole texts. It is used only where the tree pays
by token counts and the forked activations of some of the very texts equal the plain ones.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.forward import BATCH_TOKENS, Batch, OnSite, batches, forward_pass
from emotion_interp.activations.prefixes import Fork, PrefixPlan, prefix_plan
from emotion_interp.core.errors import NotFiniteError, tell
from emotion_interp.core.scopes import attach, check_open, lock_of, open_scopes, setting, surely
from emotion_interp.core.types import Site
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

EXACT = 1e-5
"""Largest distance of a forked token from the plain one, as a share of its norm, under which forks are used."""
_TRIED = 3
"""Texts on which the two are compared."""
_WIDE = 2
"""Rows of one pass are bounded by so many times its budget, counted with the prefix that each carries."""


@dataclass
class PassFacts:
    """What a pass did: tokens that were asked for and run, and whether beginnings were shared."""

    n_tokens: int = 0
    n_computed: int = 0
    shared: bool = False


@dataclass
class SharedPass:
    """`forward_pass` with shared beginnings where they pay; `facts` say of the last call what it did."""

    facts: PassFacts = field(default_factory=PassFacts)

    def __call__(
        self,
        subject: Subject,
        tokens: Sequence[TokenizedText],
        sites: Sequence[Site],
        on_site: OnSite,
        *,
        batch_tokens: int = BATCH_TOKENS,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """As `forward_pass`; activations equal its own to `EXACT`."""
        sites = list(dict.fromkeys(sites))
        subject.check_sites(sites)
        texts = [tokens[i] for i in range(len(tokens))]
        total = sum(map(len, texts))
        self.facts = PassFacts(total, total)
        plan = prefix_plan([text.ids for text in texts]) if texts and sites and _may_fork(subject) else None
        if plan is None or not plan.pays or not _forks_exactly(subject, texts, sites, plan):
            forward_pass(subject, texts, sites, on_site, batch_tokens=batch_tokens, progress=progress)
            return
        self.facts = PassFacts(total, plan.n_computed, True)
        copies = _copies(plan)
        if plan.plain:
            rows = np.asarray(plan.plain)

            def spread(site: Site, activations: torch.Tensor, batch: Batch) -> None:
                on_site(site, *_repeated(activations, _at(batch, rows[batch.rows]), copies))

            own = [texts[i] for i in rows]
            done = None if progress is None else lambda n: progress(n)
            forward_pass(subject, own, sites, spread, batch_tokens=batch_tokens, progress=done)
        for fork in plan.forks:
            for batch in _forked(subject, texts, sites, fork, on_site, copies, batch_tokens):
                if progress is not None:
                    progress(batch)


def _may_fork(subject: Subject) -> bool:
    """Whether forks can be exact at all: a bridge in float32 on which nothing intervenes."""
    import torch

    return subject.backend == "bridge" and subject.dtype == torch.float32 and not open_scopes(subject.model)


def _copies(plan: PrefixPlan) -> dict[int, list[int]]:
    """The sequences that equal each distinct one."""
    found: dict[int, list[int]] = {}
    for number, one in enumerate(plan.same):
        found.setdefault(one, []).append(number)
    return found


def _at(batch: Batch, rows: np.ndarray) -> Batch:
    return Batch(rows, batch.lengths, batch.has_bos)


def _repeated(activations: torch.Tensor, batch: Batch, copies: dict[int, list[int]]) -> tuple[torch.Tensor, Batch]:
    """Activations and batch with a row for each text that equals one of the rows."""
    import torch

    members = [copies[int(row)] for row in batch.rows]
    if all(len(m) == 1 for m in members):
        return activations, batch
    times = np.asarray([len(m) for m in members])
    index = np.repeat(np.arange(len(members)), times)
    rows = np.concatenate([np.asarray(m) for m in members])
    wide = activations[torch.from_numpy(index).to(activations.device)]
    return wide, Batch(rows, batch.lengths[index], batch.has_bos[index])


def _forked(
    subject: Subject,
    texts: Sequence[TokenizedText],
    sites: Sequence[Site],
    fork: Fork,
    on_site: OnSite,
    copies: dict[int, list[int]],
    batch_tokens: int,
) -> Iterator[int]:
    """Run one fork; yields the number of texts of each batch."""
    import torch

    prefix: dict[Site, torch.Tensor] = {}
    run = _CachedRun(subject, sites)
    head = texts[fork.rows[0]].ids[: fork.length]
    with surely(run) as opened, opened:
        cache = run.new_cache()
        run.columns(np.asarray([head]), cache, 0, lambda site, values: prefix.update({site: values}))
        ends = [len(texts[row]) - fork.length for row in fork.rows]
        # each row carries its prefix: a long one bounds the rows as well
        budget = max(1, min(batch_tokens, _WIDE * batch_tokens * max(ends) // (fork.length + max(ends))))
        for part in batches(ends, budget):
            rows = np.asarray([fork.rows[i] for i in part])
            lengths = np.asarray([len(texts[row]) for row in rows])
            ids = np.zeros((len(rows), max(ends[i] for i in part)), dtype=np.int64)
            for i, row in enumerate(rows):
                tail = texts[row].ids[fork.length :]
                ids[i, : len(tail)] = tail
            batch = Batch(rows, lengths, np.asarray([texts[row].has_bos for row in rows]))

            def joined(site: Site, values: torch.Tensor, batch: Batch = batch) -> None:
                whole = torch.cat([prefix[site].expand(len(values), -1, -1), values], dim=1)
                on_site(site, *_repeated(whole, batch, copies))

            run.columns(ids, _forked_cache(cache, len(rows)), fork.length, joined)
            yield sum(len(copies[int(row)]) for row in rows)


def _forked_cache(cache: DynamicCache, rows: int) -> DynamicCache:
    """The keys and values of a prefix, for many rows; the prefix's own stay as they are."""
    forked = copy.deepcopy(cache)
    forked.batch_repeat_interleave(rows)
    return forked


class _CachedRun(evaluation_mode):
    """Runs columns of tokens after what a cache holds, and hands each site's activations on; stops after the last site."""

    def __init__(self, subject: Subject, sites: Sequence[Site]) -> None:
        super().__init__(subject.model)
        self.subject, self.sites = subject, sites
        self.waiting: set[Site] = set()
        self.receive: Callable[[Site, torch.Tensor], None] = lambda site, values: None

    def start(self) -> None:
        super().start()
        for site in self.sites:
            attach(self.subject.model.hook_dict[site.hook_name], self._hook(site), self)

    def _hook(self, site: Site) -> Callable[..., None]:
        def hook_fn(activations: torch.Tensor, hook: object) -> None:
            del hook
            if _RUN.get() is self and site in self.waiting:
                self.waiting.discard(site)
                self.receive(site, activations.flatten(2) if activations.ndim == 4 else activations)
                if not self.waiting:
                    from transformer_lens.model_bridge.exceptions import StopAtLayerException

                    raise StopAtLayerException(activations)

        return hook_fn

    def new_cache(self) -> DynamicCache:
        from transformers import DynamicCache

        return DynamicCache(config=self.subject.model.original_model.config)

    def columns(
        self, ids: np.ndarray, cache: DynamicCache, before: int, receive: Callable[[Site, torch.Tensor], None]
    ) -> None:
        """Run [row, column] after `before` tokens that the cache holds."""
        import torch

        model, device = self.subject.model, self.subject.device
        rows, width = ids.shape
        options: dict[str, object] = {"use_cache": True, "past_key_values": cache}
        options["attention_mask"] = torch.ones((rows, before + width), dtype=torch.long, device=device)
        accepts = getattr(model, "_accepts_derived_position_ids", None)
        if accepts is None or accepts():
            options["position_ids"] = torch.arange(before, before + width, device=device).expand(rows, -1)
        self.waiting, self.receive = set(self.sites), receive
        scopes = open_scopes(model)
        with lock_of(model), surely(setting(_RUN, self)) as own, own:
            model(torch.from_numpy(np.ascontiguousarray(ids)).to(device), return_type=None, **options)
        check_open(scopes)
        if self.waiting:
            missing = sorted(self.waiting)[0]
            raise NotFiniteError(f"the hook {missing.hook_name} never fired in a forward pass of {self.subject.name}.")


_RUN: ContextVar[_CachedRun | None] = ContextVar("emotion_interp_cached_run", default=None)
_KNOWN: weakref.WeakKeyDictionary[object, dict[object, bool]] = weakref.WeakKeyDictionary()


def _forks_exactly(subject: Subject, texts: Sequence[TokenizedText], sites: Sequence[Site], plan: PrefixPlan) -> bool:
    """Whether forked activations of some of the texts equal the plain ones; measured once for a depth and a model.

    Warns:
        UserWarning: they do not, and the texts are read without forks.
    """
    deepest = max(plan.forks, key=lambda fork: fork.length)
    # a window of attention, or a scheme of positions, may hold for short prefixes only
    key = (max(site.layer for site in sites), deepest.length.bit_length())
    known = _KNOWN.setdefault(subject, {})
    if key not in known:
        off = _distance(subject, texts, sites, deepest)
        known[key] = off <= EXACT
        if not known[key]:
            tell(
                f"{subject.name} is read without shared beginnings: from a cache its activations differ by {off:.1g} of "
                "their norm (a recurrent model or position scheme, or versions that do not fit together)."
            )
    return known[key]


def _distance(subject: Subject, texts: Sequence[TokenizedText], sites: Sequence[Site], fork: Fork) -> float:
    """Largest distance of a forked token from the plain one, as a share of its norm; infinite where nothing runs."""
    by_length = sorted(fork.rows, key=lambda row: len(texts[row]))
    rows = tuple(dict.fromkeys((by_length[0], by_length[len(by_length) // 2], by_length[-1])))[:_TRIED]
    seen: list[dict[tuple[Site, int], torch.Tensor]] = [{}, {}]

    def keep(into: dict[tuple[Site, int], torch.Tensor], numbers: Sequence[int]) -> OnSite:
        def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
            for i, row in enumerate(batch.rows):
                into[site, numbers[int(row)]] = activations[i, : batch.lengths[i]].double()

        return on_site

    forward_pass(subject, [texts[row] for row in rows], sites, keep(seen[0], rows))
    own, every = Fork(fork.length, rows), {row: [row] for row in rows}
    try:
        numbers = range(len(texts))
        for _ in _forked(subject, texts, sites, own, keep(seen[1], numbers), every, BATCH_TOKENS):
            pass
    # whatever a library raises where it cannot do this: then it is not done
    except Exception:
        return float("inf")
    worst = 0.0
    for key, plain in seen[0].items():
        off = (seen[1][key] - plain).norm(dim=-1) / plain.norm(dim=-1).clamp_min(1e-30)
        worst = max(worst, float(off.max()) if bool(off.isfinite().all()) else float("inf"))
    return worst
