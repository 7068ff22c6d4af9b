"""What transformers itself does, with a plain torch hook where something is steered: what the cells compare with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from emotion_interp.subjects.generation import decode

NEW = 6


def blocks_of(model: Any) -> Any:
    """The list of a transformers model's blocks."""
    import torch

    layers = model.config.get_text_config().num_hidden_layers
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == layers)


@contextmanager
def hook_on_block(block: Any, change: Callable[[Any], Any]) -> Any:
    """A torch hook on a block of transformers: sees, and may change, what the block gives."""

    def hook(module: Any, args: Any, output: Any) -> Any:
        del module, args
        first = output[0] if isinstance(output, (tuple, list)) else output
        new = change(first)
        if new is None:
            return None
        return type(output)([new, *output[1:]]) if isinstance(output, (tuple, list)) else new

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def greedy(model: Any, row: list[int], new: int = NEW, cache: bool = False) -> list[int]:
    """transformers' own greedy continuation of one row."""
    import torch

    ids = torch.tensor([row])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new,
        do_sample=False,
        use_cache=cache,
        eos_token_id=None,
    )
    return out[0, len(row) :].tolist()


def ours(subject: Any, rows: list[list[int]], cache: bool, new: int = NEW) -> list[list[int]]:
    return decode(subject, rows, new, use_past_kv_cache=cache, eos_token_id=[]).tokens
