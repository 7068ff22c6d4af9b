"""How a model and its SAEs are loaded: what is handed on to transformers, and how many SAEs stay in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypedDict

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import Options

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
SAE_DTYPES = ("float32", "bfloat16", "float16", "float64")
OWN = "own"
"""The dtype of an SAE's file."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions(Options):
    """How `load_subject` loads.

    What is read and steered is compared with the model as it was loaded, whatever is chosen here.

    Attributes:
        device_map: where the parts of a large model go, as in transformers ("auto", or a dict by name); then `device` is
            that of the SAEs alone. Needs the package accelerate.
        quantization_config: of transformers, e.g. a BitsAndBytesConfig.
        revision: branch, tag or commit of a model on the hub.
        attn_implementation: "eager" (what TransformerLens hooks), "sdpa", "flash_attention_2", ...
        trust_remote_code: run code that the model's repository brings. Only of somebody you trust.
        sae_dtype: "float32", "bfloat16", "float16", "float64", or "own", that of the SAE's file.
        resident: SAEs in memory at a time; the others wait on disk, and are read one layer after the other. None: all of
            them, unless they would take more than 60% of the memory that is free.

    Raises:
        UnknownNameError: no such attention or dtype.

    Example:
        >>> LoadOptions(resident=2, sae_dtype="bfloat16").resident
        2
    """

    device_map: str | dict[str, object] | None = None
    quantization_config: object = None
    revision: str | None = None
    attn_implementation: str = "eager"
    trust_remote_code: bool = False
    sae_dtype: object = "float32"
    resident: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attn_implementation not in ATTENTION:
            raise UnknownNameError("attention implementation", self.attn_implementation, ATTENTION)
        if self.sae_name not in (*SAE_DTYPES, OWN):
            raise UnknownNameError("dtype of SAEs", self.sae_name, (*SAE_DTYPES, OWN))
        if self.resident is not None and self.resident < 1:
            raise EmotionInterpError(f"resident is how many SAEs stay in memory, at least 1; got {self.resident}.")
        if self.revision is not None and not re.fullmatch(r"[\w][\w./-]*", self.revision, re.ASCII):
            raise EmotionInterpError(f"revision is a branch, tag or commit of the hub; got {self.revision!r}.")

    @property
    def sae_name(self) -> str:
        """The dtype of SAEs by name."""
        return str(self.sae_dtype).removeprefix("torch.")

    def from_pretrained(self) -> dict[str, object]:
        """Options that configuration, tokenizer and model take alike."""
        found: dict[str, object] = {} if self.revision is None else {"revision": self.revision}
        return found | ({"trust_remote_code": True} if self.trust_remote_code else {})

    def of_model(self) -> dict[str, object]:
        """Options that the model alone takes."""
        found: dict[str, object] = {"attn_implementation": self.attn_implementation}
        for name in ("device_map", "quantization_config"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        return found

    def noted(self) -> dict[str, object]:
        """What of it belongs into the provenance: what may decide numbers."""
        noted: dict[str, object] = {}
        if self.sae_name != "float32":
            noted["sae_dtype"] = self.sae_name
        if self.attn_implementation != "eager":
            noted["attn_implementation"] = self.attn_implementation
        if self.quantization_config is not None:
            noted["quantization"] = type(self.quantization_config).__name__
        return noted


class LoadChoices(TypedDict, total=False):
    """`LoadOptions`, by keyword."""

    device_map: str | dict[str, object] | None
    quantization_config: object
    revision: str | None
    attn_implementation: str
    trust_remote_code: bool
    sae_dtype: object
    resident: int | None
