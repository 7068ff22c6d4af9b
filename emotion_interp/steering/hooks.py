"""Hooks that write to a running subject: where they sit, which positions they see, and how they come off again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emotion_interp.core.errors import UnknownNameError, UnsupportedError
from emotion_interp.core.scopes import Scope, Undoing, attach, attach_before, only_scopes
from emotion_interp.core.types import Site
from emotion_interp.steering.positions import SPARING, Positions, check_positions, select
from emotion_interp.steering.schedules import Schedule, dose_weights, schedule_function
from emotion_interp.subjects.plan import ForwardPlan, current_plan
from emotion_interp.subjects.site_check import check_writable, written_name

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

    from emotion_interp.subjects.subject import Subject


class Chosen:
    """Where one forward pass is changed, worked out once for all sites.

    Attributes:
        plan: the pass.
        mask: [row, column], which columns are changed; at least one.
        everywhere: all columns of all rows are.
        weights: [row, column] multipliers of what is done, 0 outside the mask; None: 1 inside it.
    """

    def __init__(self, plan: ForwardPlan, mask: np.ndarray, weights: np.ndarray | None) -> None:
        self.plan, self.mask, self.weights = plan, mask, weights
        self.everywhere = bool(mask.all())
        self._kept: dict[object, Any] = {}

    @property
    def token_rows(self) -> np.ndarray:
        """The caller's row of each changed token, row by row: [token]."""
        return np.broadcast_to(self.plan.rows[:, None], self.mask.shape)[self.mask]

    def factor(self, like: torch.Tensor) -> torch.Tensor | None:
        """Multipliers [row, column, 1] in the type of a tensor; None where everything counts in full."""
        if self.everywhere and self.weights is None:
            return None
        return self._tensor(self.mask if self.weights is None else self.weights, like)[..., None]

    def token_factor(self, like: torch.Tensor) -> torch.Tensor | None:
        """Multipliers [token, 1] of the changed tokens; None where all count in full."""
        return None if self.weights is None else self._tensor(self.weights[self.mask], like)[:, None]

    def places(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and column of each changed token, [token] each."""
        if device not in self._kept:
            self._kept[device] = tuple(torch.from_numpy(i).to(device) for i in np.nonzero(self.mask))
        return self._kept[device]

    def _tensor(self, values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        key = (like.device, like.dtype, values.ndim)
        if key not in self._kept:
            self._kept[key] = torch.from_numpy(np.ascontiguousarray(values)).to(like.device, like.dtype)
        return self._kept[key]


Change = Callable[["torch.Tensor", Chosen], "torch.Tensor"]
"""(activations [row, column, d], where) -> new activations."""


def replacement(delta: Callable[[torch.Tensor, Chosen], torch.Tensor]) -> Change:
    """A change that needs the chosen tokens' activations: (picked [token, d], where) -> what is added [token, d]."""

    def change(activations: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        if chosen.everywhere:
            picked = activations.reshape(-1, activations.shape[-1])
        else:
            places = chosen.places(activations.device)
            picked = activations[places]
        moved = delta(picked, chosen).to(activations.device)
        factor = chosen.token_factor(moved)
        # in the wider of the two types: on a half-precision stream only the result should be rounded
        result = (picked + (moved if factor is None else moved * factor)).to(activations.dtype)
        return result.view(activations.shape) if chosen.everywhere else activations.index_put(places, result)

    return change


def unsteered() -> Undoing:
    """Inside it every intervention of this package that is open rests, so that the bare subject can be read."""
    return only_scopes(())


class hooked(Undoing):
    """Make changes at sites while the context is open, in the thread or asyncio task that opened it; checks come first.

    Other threads and tasks run the same model without them. Tasks started inside, and threads started with a copy of the
    context (`asyncio.to_thread`), have them too, until the context is closed.
    """

    def __init__(
        self, subject: Subject, changes: Mapping[Site, Change], positions: Positions, schedule: Schedule = None
    ) -> None:
        super().__init__()
        check_positions(positions)
        self.subject, self.changes, self.positions = subject, changes, positions
        self.multiplier = schedule_function(schedule)
        self.points = {site: _write_point(subject, site) for site in changes}

    def start(self) -> None:
        if not self.changes:
            return
        scope = Scope(self.subject.model, spares_prompt=isinstance(self.positions, str) and self.positions in SPARING)
        self.later(scope.end)
        calls = _CallPlan(self.subject, scope, self)
        selector = _Selector(calls, self.positions, self.multiplier)
        for site, change in self.changes.items():
            attach(self.points[site], _hook(scope, selector, change), self)
        scope.start()

    def __del__(self) -> None:
        # where an interrupt came before the exit had begun
        if self._is_open:
            self.undo()


class _Selector:
    """Where a forward pass is changed; the sites of one pass share the answer."""

    def __init__(
        self, calls: _CallPlan, positions: Positions, schedule: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        self.calls, self.positions, self.schedule = calls, positions, schedule
        # one tuple, so that threads never see the plan of one pass with the answer of another
        self._last: tuple[ForwardPlan | None, Chosen | None] = (None, None)

    def chosen(self, activations: torch.Tensor) -> Chosen | None:
        """None where the pass has no column to change."""
        plan = current_plan()
        if plan is None:
            plan = self.calls.plan(int(activations.shape[0]), int(activations.shape[1]))
        known, chosen = self._last
        if plan is not known:
            mask = select(self.positions, plan)
            chosen = None
            if mask.any():
                weights = None
                if self.schedule is not None:
                    weights = dose_weights(self.schedule, self.positions, plan, mask)
                chosen = Chosen(plan, mask, weights)
            self._last = plan, chosen
        return chosen


def _hook(scope: Scope, selector: _Selector, change: Change) -> Callable[..., torch.Tensor | None]:
    def hook_fn(activations: torch.Tensor, hook: object) -> torch.Tensor | None:
        del hook
        if not scope.acts:
            return None
        chosen = selector.chosen(activations)
        return None if chosen is None else change(activations, chosen)

    return hook_fn


def _write_point(subject: Subject, site: Site) -> HookPoint:
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
    name = written_name(site)
    points = subject.model.hook_dict
    if name not in points:
        raise UnknownNameError("hook", name, sorted(n for n in points if n.startswith(f"blocks.{site.layer}.")))
    check_writable(subject, site)
    return points[name]


@dataclass(frozen=True)
class _Call:
    """A bare call: its plan, the prompt lengths of the text it continues, and the ids that text began with, where known."""

    plan: ForwardPlan | None = None
    lengths: np.ndarray | None = None
    has_bos: np.ndarray | None = None
    ids: torch.Tensor | None = None


_CALLS: ContextVar[Mapping[Scope, _Call]] = ContextVar("emotion_interp_calls", default=MappingProxyType({}))
"""The last bare call under each intervention that is open."""


class _CallPlan:
    """The plan of a bare call of the model, worked out from its arguments: mask, cache, and the prompt before.

    Watches the inner Hugging Face model of a bridge and the first block of a HookedTransformer: whatever entry the
    caller takes (call, run_with_hooks, generate), those are reached with mask and cache in hand.
    """

    def __init__(self, subject: Subject, scope: Scope, undoing: Undoing) -> None:
        self.subject, self.scope = subject, scope
        bridge = subject.backend == "bridge"
        module = subject.model.original_model if bridge else subject.model.blocks[0]
        watch = self._before_bridge if bridge else self._before_block
        attach_before(module, watch, undoing)
        if not bridge:
            attach_before(subject.model.embed, self._before_embedding, undoing)

    def plan(self, rows: int, columns: int) -> ForwardPlan:
        """The plan of the running call; columns are positions where the call did not tell."""
        plan = self._last().plan
        if plan is not None and plan.positions.shape == (rows, columns):
            return plan
        return ForwardPlan.of_columns(rows, columns, self.subject.prepends_bos)

    def _before_bridge(self, module: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        del module
        if current_plan() is not None or not self.scope.acts:
            return
        ids = args[0] if args else options.get("input_ids")
        cache = options.get("past_key_values")
        past = 0 if cache is None else int(cache.get_seq_length())
        self._set(ids, ids, past, options.get("attention_mask"))

    def _before_embedding(self, module: object, args: tuple[object, ...], options: dict[str, object]) -> None:
        del module
        if current_plan() is None and self.scope.acts:
            self._keep(replace(self._last(), ids=args[0] if args else options.get("tokens")))

    def _before_block(self, module: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        del module
        if current_plan() is not None or not self.scope.acts:
            return
        stream = args[0] if args else options.get("resid_pre")
        entry = options.get("past_kv_cache_entry")
        past = 0 if entry is None else int(entry.past_keys.shape[1])
        self._set(stream, self._last().ids, past, options.get("attention_mask"))

    def _last(self) -> _Call:
        return _CALLS.get().get(self.scope, _Call())

    def _keep(self, call: _Call) -> None:
        _CALLS.set({**{scope: c for scope, c in _CALLS.get().items() if scope.is_open}, self.scope: call})

    def _set(self, tensor: Any, ids: Any, past: int, mask: torch.Tensor | None) -> None:
        """`tensor` is [row, column, ...]; `ids` [row, column] where known; `mask` spans the cached columns too."""
        last = self._last()
        plan, lengths, has_bos = None, last.lengths, last.has_bos
        if getattr(tensor, "ndim", 0) >= 2:
            rows, columns = int(tensor.shape[0]), int(tensor.shape[1])
            if mask is not None and mask.ndim == 2 and mask.shape[1] == past + columns:
                real = mask.bool().cpu().numpy()
                positions = np.where(real, real.cumsum(1) - 1, -1)
            else:
                positions = np.broadcast_to(np.arange(past + columns), (rows, past + columns))
            if past == 0 or lengths is None or len(lengths) != rows:
                lengths = positions.max(1) + 1 if past == 0 else np.full(rows, past)
            if past == 0 or has_bos is None or len(has_bos) != rows:
                has_bos = self._begins_with_bos(ids if past == 0 else None, positions)
            plan = ForwardPlan(positions[:, -columns:], lengths, np.arange(rows), has_bos)
        self._keep(_Call(plan, lengths, has_bos))

    def _begins_with_bos(self, ids: torch.Tensor | None, positions: np.ndarray) -> np.ndarray:
        """Whether each row's first token is BOS; where its ids are not known, as the subject reads texts: [row]."""
        if ids is None or ids.ndim != 2 or tuple(ids.shape) != positions.shape or ids.is_floating_point():
            return np.full(len(positions), self.subject.prepends_bos)
        first = (positions == 0).argmax(1)
        return self.subject.has_bos([[row[k]] for row, k in zip(ids.tolist(), first, strict=True)])
