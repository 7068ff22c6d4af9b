"""Whether a model's files hold its weights and its vocabulary: what is missing is made up at random by transformers, unasked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import FileFormatError, tell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ADAPTER = re.compile(r"lora_|\.adapter|prompt_encoder|ia3_")
_OTHER_PARTS = re.compile(
    r"vision|visual|audio|image|speech|multi_modal|multimodal|mm_|mtp|rotary_emb|position_ids|inv_freq|"
    r"masked_bias$|causal_mask$|(attn|attention)\.bias$"
)
"""Weights of what is beside the text model: towers, projectors, heads of other training, tables that are worked out."""
_KNOWN_SHARE = 0.9
"""Share of an embedding's rows that a tokenizer of the model knows at least: some are padded to a round number."""


def check_weights(source: str, told: Mapping[str, Any]) -> None:
    """Refuse files in which weights are missing; one line where they hold weights that the configuration does not know.

    Args:
        source: folder or name, for the message.
        told: of `from_pretrained(output_loading_info=True)`.

    Raises:
        FileFormatError: a weight is missing, or weights of an adapter lie among those of the model.
    """
    missing, spare = _sorted(told.get("missing_keys")), _sorted(told.get("unexpected_keys"))
    if missing:
        raise FileFormatError(
            f"the files of {source} lack {len(missing)} weights of the model ({_shown(missing)}), which would be random numbers. "
            "Shards, their index (model.safetensors.index.json) and config.json do not belong together; download them again."
        )
    adapters = [name for name in spare if _ADAPTER.search(name)]
    if adapters:
        raise FileFormatError(
            f"the files of {source} hold {len(adapters)} weights of an adapter ({_shown(adapters)}), which would be left out. "
            "Merge it into the model, and save that."
        )
    spare = [name for name in spare if not _OTHER_PARTS.search(name)]
    if spare:
        tell(
            f"the files of {source} hold {len(spare)} weights that its config.json knows nothing of ({_shown(spare)}); they are "
            "left out. Do they belong together?"
        )


def tell_of_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """One line where a tokenizer knows far fewer tokens than the embedding has rows: it is hardly the model's.

    One that knows more is refused when the model is wrapped.

    Args:
        source: folder or name, for the message.
        tokenizer: that was read.
        rows: of the embedding.
    """
    if len(tokenizer) < _KNOWN_SHARE * rows:
        tell(
            f"the tokenizer of {source} knows {len(tokenizer):,} tokens, and the model's embedding has {rows:,} rows: is it the "
            "model's own? With another, every text is read as other words."
        )


def _sorted(names: Iterable[object] | None) -> list[str]:
    return sorted(str(name) for name in names or ())


def _shown(names: list[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
