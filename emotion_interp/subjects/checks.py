"""Is the hooked model the model that was handed in? Logits of a short text say so, before anything is read or steered."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, UnsupportedError
from emotion_interp.core.scopes import hooks_locked, lock_of, only_scopes, surely
from emotion_interp.subjects.plan import evaluation_mode

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformer_lens.hook_points import HookPoint
    from transformers import PreTrainedTokenizerBase

    from emotion_interp.subjects.hooked import HookedModel, Modules

PROBE = "The letter said that she was coming home, and he read it twice before he wept."
PROBE_TOKENS = 24

UNCACHED: tuple[dict[str, object], ...] = ({"use_cache": False}, {"use_cache": True}, {})
"""Options of an uncached pass, the first that runs is taken: some bridges lack what their cacheless path needs."""


@dataclass(frozen=True)
class Difference:
    """How far logits [token, vocabulary] are from those expected.

    Attributes:
        median: over tokens, the length of the difference by the spread of what was expected.
        worst: over tokens, the length of the difference by the spread of what was expected.
        largest: of single logits.
        same_next: share of tokens with the same likeliest next token.
    """

    median: float
    worst: float
    largest: float
    same_next: float

    def within(self, limits: tuple[float, float]) -> bool:
        """Whether median and worst are within `tolerance(model)`; False for NaN."""
        return self.median <= limits[0] and self.worst <= limits[1]

    def __str__(self) -> str:
        return (
            f"logits differ by up to {self.largest:.2g}, {self.median:.1%} of their spread at the median token; "
            f"{self.same_next:.0%} of tokens have the same likeliest next token"
        )


def difference(got: torch.Tensor, expected: torch.Tensor) -> Difference:
    """Compare logits [token, vocabulary]."""
    import torch

    shares, largest, same = [], [], []
    # token by token: in double precision all logits of a large vocabulary would take more than a small model
    for got_row, expected_row in zip(*(x.reshape(-1, x.shape[-1]) for x in (got, expected)), strict=True):
        a, b = got_row.double().cpu(), expected_row.double().cpu()
        # padded vocabularies: some models put -inf or a huge negative number on ids that do not exist
        absent = (a < -1e4) & (b < -1e4)
        a, b = torch.where(absent, 0.0, a), torch.where(absent, 0.0, b)
        spread = (b - b.mean()).norm().clamp(min=1e-12)
        shares.append((a - b).norm() / spread)
        largest.append((a - b).abs().max())
        same.append(a.argmax() == b.argmax())
    share = torch.stack(shares)
    return Difference(
        float(share.median()),
        float(share.max()),
        float(torch.stack(largest).max()),
        float(torch.stack(same).double().mean()),
    )


def tolerance(model: Any) -> tuple[float, float]:
    """The largest median and worst share that rounding leaves in a model: it grows with the step and the depth.

    In half precision a mixture of experts may send one token elsewhere, so the worst token has more room there.
    """
    import torch

    dtype = coarsest(model)
    if dtype == torch.float32:
        return 3e-4, 3e-3
    config = getattr(model, "cfg", None) or model.config.get_text_config()
    layers = int(getattr(config, "n_layers", None) or getattr(config, "num_hidden_layers", None) or 12)
    return 3 * float(torch.finfo(dtype).eps) * layers**0.5, 0.4


def coarsest(model: Modules) -> torch.dtype:
    """The dtype by which a model's rounding is judged; quantised weights count as bfloat16."""
    import torch

    plain = (torch.Tensor, torch.nn.Parameter)
    kinds = {p.dtype if type(p) in plain else torch.int8 for p in model.parameters()}
    # packed weights may be buffers; so are masks, which hold 0 and 1
    whole = (
        b for b in model.buffers() if b.dtype in (torch.int8, torch.uint8, torch.int16, torch.int32) and b.ndim > 1
    )
    kinds |= {b.dtype for b in whole if b.numel() and int(b.max()) > 1}
    if any(not k.is_floating_point or k.itemsize == 1 for k in kinds) or torch.bfloat16 in kinds:
        return torch.bfloat16
    return torch.float16 if torch.float16 in kinds else torch.float32


def probe_of(model: object, tokenizer: PreTrainedTokenizerBase, context: int) -> list[int]:
    """Ids of a short text, BOS first where there is one.

    Raises:
        EmotionInterpError: the tokenizer gives ids that the model does not have.
    """
    # a vocabulary without these words is probed with its first ids
    ids = list(tokenizer(PROBE, add_special_tokens=False, verbose=False)["input_ids"]) or list(range(PROBE_TOKENS))
    if tokenizer.bos_token_id is not None:
        ids = [tokenizer.bos_token_id, *ids]
    ids = ids[: max(2, min(PROBE_TOKENS, context))]
    embedding_of = getattr(model, "get_input_embeddings", None)
    embedding = None if embedding_of is None else embedding_of()
    rows = getattr(embedding, "num_embeddings", None)
    if rows is None:
        rows = getattr(getattr(model, "cfg", None), "d_vocab", None)
    if rows is not None and ids and max(ids) >= int(rows):
        raise EmotionInterpError(
            f"the tokenizer gives the id {max(ids)}, but the model's vocabulary has {int(rows)} tokens; they do not "
            "belong together."
        )
    return ids


def _tensor(model: Modules, ids: list[int]) -> torch.Tensor:
    import torch

    return torch.tensor([ids], device=next(iter(model.parameters())).device)


def plain_logits(model: nn.Module, ids: list[int]) -> torch.Tensor:
    """Logits of a transformers model for one row: [token, vocabulary].

    Raises:
        UnsupportedError: it has none for a plain text.
    """
    try:
        with evaluation_mode(model):
            logits = model(input_ids=_tensor(model, ids)).logits[0]
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(
            f"{type(model).__name__} gives no next-token logits for a plain text ({first[:160]}); a causal language model "
            "is needed."
        ) from error
    return logits


def uncached(model: HookedModel, ids: list[int]) -> tuple[torch.Tensor, dict[str, object]]:
    """Logits of a bridge for one row [token, vocabulary], and the options of the pass that gave them.

    Raises:
        UnsupportedError: no pass runs.
    """
    first: Exception | None = None
    for options in UNCACHED:
        try:
            with evaluation_mode(model), resting_hooks(model):
                return model(_tensor(model, ids), return_type="logits", **options)[0], options
        except (TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
            first = first or error
    reason = (str(first).strip().splitlines() or [type(first).__name__])[0]
    raise UnsupportedError(
        f"a forward pass of this {_name(model)} through TransformerLens fails: {type(first).__name__}: {reason[:200]}"
    ) from first


@contextmanager
def resting_hooks(model: HookedModel) -> Iterator[None]:
    """Inside it the hook points of a model are bare: hooks there neither act nor see, and those added inside are dropped."""
    kept: list[tuple[HookPoint, dict[str, object]]] = []
    acting = only_scopes(())
    with lock_of(model), hooks_locked(), surely(acting), acting:
        try:
            for point in dict.fromkeys(model.hook_dict.values()):
                state = {name: point.__dict__[name] for name in _HOOKS if name in point.__dict__}
                kept.append((point, state))
                point.__dict__.update({name: type(value)() for name, value in state.items()})
            yield
        finally:
            for point, state in kept:
                point.__dict__.update(state)


_HOOKS = ("_forward_hooks", "_backward_hooks", "_forward_pre_hooks", "_backward_pre_hooks", "fwd_hooks", "bwd_hooks")


def check_wrapped(bridge: HookedModel, ids: list[int], expected: torch.Tensor, name: str) -> None:
    """Refuse a bridge whose logits are not the model's, or depend on tokens that come later.

    Raises:
        UnsupportedError: with the difference.
    """
    got, _ = uncached(bridge, ids)
    if bool(expected.isnan().any()):
        # nothing to compare with; whoever reads or decodes refuses NaN, and says what may help
        return
    found = difference(got, expected)
    limits = tolerance(bridge)
    if not found.within(limits):
        raise UnsupportedError(
            f"through TransformerLens this {name} computes something else than the model that was handed in: {found}. "
            "What would be read and steered is not your model. Merge adapters into the weights, load the model without "
            "quantisation, or use another version of TransformerLens or transformers."
        )
    half = ids[: max(1, len(ids) // 2)]
    early, _ = uncached(bridge, half)
    if not difference(early, got[: len(half)]).within(limits):
        raise UnsupportedError(
            f"the logits of this {name} depend on tokens that come later; a causal language model is needed."
        )


def check_unchanged(model: nn.Module, ids: list[int], before: torch.Tensor) -> None:
    """Refuse to go on where wrapping has changed what the handed-in model computes.

    Raises:
        UnsupportedError: with the difference.
    """
    found = difference(plain_logits(model, ids), before)
    if not bool(before.isnan().any()) and not found.within(tolerance(model)):
        raise UnsupportedError(
            f"wrapping this {type(model).__name__} changed what it computes ({found}): its copy shares a state with it, "
            "as some quantised layers do. Load the model again, without quantisation."
        )


def check_bridge(bridge: HookedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Refuse a user's bridge that computes something else than transformers does with the same weights.

    A bridge with processed weights, or one that is not over a transformers model, has nothing to be compared with.

    Raises:
        UnsupportedError: with the difference.
    """
    tokenizer = tokenizer if tokenizer is not None else getattr(bridge, "tokenizer", None)
    inner = getattr(bridge, "original_model", None)
    processed = getattr(bridge, "_weights_processed", False) or getattr(bridge, "compatibility_mode", False)
    if tokenizer is None or processed or inner is None or not hasattr(inner, "config"):
        return
    ids = probe_of(bridge, tokenizer, int(getattr(bridge.cfg, "n_ctx", None) or 1024))
    model = _without_bridges(inner, {})
    try:
        with resting_hooks(bridge):
            expected = plain_logits(model, ids)
    except UnsupportedError:
        return
    check_wrapped(bridge, ids, expected, type(inner).__name__)


def _without_bridges(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    """A view of a module tree in which each bridge component is the transformers module it stands for; same tensors."""
    while (original := getattr(module, "original_component", None)) is not None:
        module = original
    if id(module) not in done:
        bare = copy.copy(module)
        done[id(module)] = bare
        # an instance's own forward is the bridge's
        bare.__dict__ = {k: v for k, v in module.__dict__.items() if k != "forward"}
        bare._modules = {n: None if c is None else _without_bridges(c, done) for n, c in module._modules.items()}
    return done[id(module)]


def _name(bridge: HookedModel) -> str:
    return str(getattr(bridge.cfg, "architecture", None) or type(bridge).__name__)
