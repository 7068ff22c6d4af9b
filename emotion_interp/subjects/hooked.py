"""What is used of hooked models and of what SAEs say of themselves, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


class Modules(Protocol):
    """What a hooked model and a torch module have in common."""

    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def buffers(self) -> Iterator[torch.Tensor]: ...


class HookedModel(Modules, Protocol):
    """A `TransformerBridge` or a `HookedTransformer`; only a bridge has an `original_model`.

    Whatever else one of them has (`cfg`, `blocks`, `hook_dict`, ...) is of a type of its own.
    """

    original_model: PreTrainedModel
    embed: nn.Module
    W_E: torch.Tensor
    b_Q: torch.Tensor
    b_V: torch.Tensor

    @overload
    def __call__(self, ids: torch.Tensor, *, return_type: Literal["logits"], **options: object) -> torch.Tensor: ...
    @overload
    def __call__(
        self, ids: torch.Tensor, *, return_type: Literal["logits_and_cache"], **options: object
    ) -> tuple[torch.Tensor, object]: ...
    @overload
    def __call__(self, ids: torch.Tensor, *, return_type: None, **options: object) -> None: ...
    @overload
    def __call__(self, ids: torch.Tensor, **options: object) -> Any: ...
    def hooks(self, fwd_hooks: Sequence[object]) -> AbstractContextManager[object]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def __getattr__(self, name: str) -> Any: ...


class SaeFacts(Protocol):
    """Facts about an SAE: by attribute, None for those that it does not have; `in` says which it has."""

    def __getattr__(self, name: str) -> Any: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: str, /) -> bool: ...


class SaeSettings(Protocol):
    """The configuration of an SAE in its inference form: SAELens', or a `PlainConfig`."""

    @property
    def d_in(self) -> int: ...
    @property
    def d_sae(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def normalize_activations(self) -> str: ...
    @property
    def metadata(self) -> SaeFacts: ...
    def architecture(self) -> str: ...
