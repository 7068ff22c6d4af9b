"""Hooks that write to a running subject: where they sit, which positions they see, and how they come off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import UnknownNameError, UnsupportedError
from emotion_interp.core.types import Site
from emotion_interp.steering.interventions import Positions, check_positions, select
from emotion_interp.subjects.plan import ForwardPlan, current_plan

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

Change = Callable[["torch.Tensor", np.ndarray, ForwardPlan], "torch.Tensor"]
"""(activations [row, column, d], mask [row, column], plan) -> new activations."""

_PAUSED: ContextVar[bool] = ContextVar("emotion_interp_steering_paused", default=False)


@contextmanager
def unsteered() -> Iterator[None]:
    """Inside it every intervention of this package rests, so that the bare subject can be read."""
    token = _PAUSED.set(True)
    try:
        yield
    finally:
        _PAUSED.reset(token)


@contextmanager
def hooked(subject: Subject, changes: Mapping[Site, Change], positions: Positions) -> Iterator[None]:
    """Make changes at sites while the context is open; every check comes before the first hook."""
    check_positions(positions)
    points = {site: _write_point(subject, site) for site in changes}
    with ExitStack() as stack:
        calls = _CallPlan(subject)
        stack.callback(calls.close)
        for site, change in changes.items():
            stack.enter_context(_one_hook(points[site], _hook(calls, change, positions)))
        yield


def _hook(calls: _CallPlan, change: Change, positions: Positions) -> Callable[..., Any]:
    def hook_fn(activations: torch.Tensor, hook: Any) -> torch.Tensor | None:
        del hook
        if _PAUSED.get():
            return None
        rows, columns = activations.shape[:2]
        plan = current_plan() or calls.plan(int(rows), int(columns))
        mask = select(positions, plan)
        return change(activations, mask, plan) if mask.any() else None

    return hook_fn


@contextmanager
def _one_hook(point: Any, hook_fn: Callable[..., Any]) -> Iterator[None]:
    # permanent, so that a reset_hooks() of somebody else's context leaves it; removed here by identity
    point.add_hook(hook_fn, is_permanent=True)
    handle = point.fwd_hooks[-1]
    try:
        yield
    finally:
        handle.hook.remove()
        point.fwd_hooks = [h for h in point.fwd_hooks if h is not handle]


def _write_point(subject: Subject, site: Site) -> Any:
    """The hook point at which a site is written.

    `resid_mid` is an addition at `attn_out`: on a bridge the hook of that name sits on a side branch, and adding there
    moves the stream by almost nothing.
    """
    subject.site(site)
    parallel = bool(getattr(subject.model.cfg, "parallel_attn_mlp", False))
    if site.kind == "resid_mid" and (parallel or bool(getattr(subject.model.cfg, "attn_only", False))):
        raise UnsupportedError(
            f"{subject.name} has no stream between attention and MLP (its blocks run them side by side, or have no "
            "MLP); steer resid_pre, resid_post, attn_out or mlp_out."
        )
    name = Site(site.layer, "attn_out").hook_name if site.kind == "resid_mid" else site.hook_name
    points = subject.model.hook_dict
    if name not in points:
        raise UnknownNameError("hook", name, sorted(n for n in points if n.startswith(f"blocks.{site.layer}.")))
    return points[name]


class _CallPlan:
    """The plan of a bare call of the model, worked out from its arguments: mask, cache, and the prompt before.

    Watches the inner Hugging Face model of a bridge and the first block of a HookedTransformer: whatever entry the
    caller takes (call, run_with_hooks, generate), those are reached with mask and cache in hand.
    """

    def __init__(self, subject: Subject) -> None:
        self._plan: ForwardPlan | None = None
        self.subject = subject
        self.lengths: np.ndarray | None = None
        if subject.backend == "bridge":
            self.handle = subject.model.original_model.register_forward_pre_hook(self._before_bridge, with_kwargs=True)
        else:
            self.handle = subject.model.blocks[0].register_forward_pre_hook(self._before_block, with_kwargs=True)

    def close(self) -> None:
        self.handle.remove()

    def plan(self, rows: int, columns: int) -> ForwardPlan:
        """The plan of the running call; columns are positions where the call did not tell."""
        if self._plan is not None and self._plan.positions.shape == (rows, columns):
            return self._plan
        return ForwardPlan.of_columns(rows, columns, self.subject.prepends_bos)

    def _before_bridge(self, module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        del module
        ids: Any = args[0] if args else options.get("input_ids")
        cache: Any = options.get("past_key_values")
        past = 0 if cache is None else int(cache.get_seq_length())
        self._set(ids, past, options.get("attention_mask"))

    def _before_block(self, module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        del module
        stream: Any = args[0] if args else options.get("resid_pre")
        entry: Any = options.get("past_kv_cache_entry")
        past = 0 if entry is None else int(entry.past_keys.shape[1])
        self._set(stream, past, options.get("attention_mask"))

    def _set(self, tensor: Any, past: int, mask: Any) -> None:
        """`tensor` is [row, column, ...]; `mask` spans the cached columns too."""
        self._plan = None
        if current_plan() is not None or getattr(tensor, "ndim", 0) < 2:
            return
        rows, columns = int(tensor.shape[0]), int(tensor.shape[1])
        if mask is not None and mask.ndim == 2 and mask.shape[1] == past + columns:
            real = mask.bool().cpu().numpy()
            positions = np.where(real, real.cumsum(1) - 1, -1)
        else:
            positions = np.broadcast_to(np.arange(past + columns), (rows, past + columns))
        lengths = self.lengths
        if past == 0 or lengths is None or len(lengths) != rows:
            lengths = positions.max(1) + 1 if past == 0 else np.full(rows, past)
        self.lengths = lengths
        self._plan = ForwardPlan(positions[:, -columns:], lengths, np.arange(rows), self.subject.prepends_bos)
