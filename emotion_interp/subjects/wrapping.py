"""From what a user hands in to a hooked model: a bridge over a copy that shares its tensors, checked against it."""

from __future__ import annotations

import copy
import json
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emotion_interp.core.errors import EmotionInterpError, UnsupportedError
from emotion_interp.subjects.checks import check_bridge, check_unchanged, check_wrapped, plain_logits, probe_of

if TYPE_CHECKING:
    from torch import nn
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from emotion_interp.subjects.hooked import HookedModel


M = TypeVar("M", bound="nn.Module")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "context_length", "n_ctx", "seq_length")
"""Names under which configurations give the longest text."""
_COMPARED: weakref.WeakSet[object] = weakref.WeakSet()
"""Bridges that were compared with their models here and handed to nobody yet."""


def hooked_model(model: Any, tokenizer: PreTrainedTokenizerBase | None) -> tuple[str, HookedModel]:
    """The backend's name and a hooked model; a plain `transformers` model is wrapped through a tensor-sharing copy.

    Raises:
        UnsupportedError: a model that cannot be wrapped, or whose wrapped form computes something else.
    """
    names = _class_names(model)
    if {"SAETransformerBridge", "HookedSAETransformer"} & names and getattr(model, "acts_to_saes", None):
        raise UnsupportedError(
            "SAEs are spliced into this model; call model.reset_saes() first, or pass the bare model."
        )
    if "TransformerBridge" in names:
        # one of our own was compared a moment ago
        if model in _COMPARED:
            _COMPARED.discard(model)
        else:
            check_bridge(model, tokenizer)
        return "bridge", model
    if "HookedTransformer" in names:
        return "hooked", model
    if {"PreTrainedModel", "PeftModel"} & names:
        from transformer_lens.model_bridge import TransformerBridge

        if tokenizer is None:
            raise EmotionInterpError("a transformers model carries no tokenizer; pass tokenizer=...")
        return "bridge", wrap_transformers(TransformerBridge, model, tokenizer)
    raise UnsupportedError(
        f"expected a TransformerBridge, a HookedTransformer or a transformers model, got {type(model).__name__}."
    )


def wrap_transformers(
    bridge_class: type[TransformerBridge],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    own_tokenizer: bool = False,
) -> HookedModel:
    """A bridge around a copy of `model` that shares its tensors: booting rebuilds the given model in place.

    Adapters that are active now (LoRA and its kin, by transformers or by peft) are merged in the copy. `own_tokenizer` says
    that nobody else holds the tokenizer, so that it need not be copied: one of 262,144 words takes seconds.

    Raises:
        UnsupportedError: TransformerLens cannot open the model, or the bridge computes something else than the model.
    """
    inner = _bare_of_adapters(model)
    config = getattr(inner.config, "get_text_config", lambda: inner.config)()
    if getattr(inner.config, "is_encoder_decoder", False):
        raise UnsupportedError(
            f"{type(inner).__name__} is an encoder with a decoder; a subject is a model that continues its own text."
        )
    room = next((int(n) for n in (getattr(config, name, None) for name in _CONTEXT) if n), 1024)
    ids = probe_of(model, tokenizer, room)
    expected = plain_logits(model, ids)
    bridge = _boot(bridge_class, inner, tokenizer, own_tokenizer)
    check_wrapped(bridge, ids, expected, type(inner).__name__)
    check_unchanged(model, ids, expected)
    # once more after the handed-in model has run: what they share must not depend on who runs last
    check_wrapped(bridge, ids, expected, type(inner).__name__)
    _COMPARED.add(bridge)
    return bridge


def _boot(
    bridge_class: type[TransformerBridge],
    inner: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    keep: bool = False,
) -> HookedModel:
    clone = sharing_copy(inner)
    # booting gives a tokenizer the special tokens it lacks, and loads one anew that does not say that it begins with BOS
    specials = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    begins = None not in specials and tokenizer("a", verbose=False)["input_ids"][:1] == [tokenizer.bos_token_id]
    own_tokenizer = tokenizer if keep and begins else copy.deepcopy(tokenizer)
    if begins:
        own_tokenizer.init_kwargs["add_bos_token"] = True
    _merge_adapters(clone)
    _name_architecture(clone)
    parameter = next(iter(inner.parameters()))
    name = str(getattr(inner.config, "_name_or_path", "") or "custom")
    multimodal = any(hasattr(inner.config, part) for part in ("vision_config", "audio_config"))
    with tempfile.TemporaryDirectory() as folder:
        source = str(own_tokenizer.init_kwargs.get("name_or_path") or "")
        homeless = not source or (Path(source).is_absolute() and not Path(source).exists())
        if homeless or multimodal:
            # TransformerLens loads a tokenizer again from where it came from; one made in memory came from nowhere
            own_tokenizer.save_pretrained(folder)
            own_tokenizer = type(tokenizer).from_pretrained(folder)
        if multimodal:
            _only_text(folder, type(inner).__name__)
        try:
            bridge: Any = bridge_class.boot_transformers(
                folder if multimodal else name,
                hf_model=clone,
                tokenizer=own_tokenizer,
                dtype=parameter.dtype,
                device=parameter.device,
            )
        except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, NotImplementedError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UnsupportedError(
                f"TransformerLens cannot open a {type(inner).__name__}: {first[:200]} A HookedTransformer or a bridge of "
                "your own can be passed in its place."
            ) from error
        if homeless or multimodal:
            bridge.tokenizer.name_or_path = source
        if multimodal:
            bridge.cfg.model_name, bridge.processor = name, None
    bridge.train(inner.training)
    return bridge


def sharing_copy(model: M) -> M:
    """A deep copy whose plain tensors are those of `model`; quantised ones are copied, since they keep a state."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    plain = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
    return copy.deepcopy(model, {id(t): t for t in tensors if type(t) in plain})


def is_centred(model: HookedModel) -> bool:
    """Whether a model's embedding writes no mean into the stream (centred writing weights)."""
    try:
        embedding = model.W_E.detach().float()
    # a bridge whose embedding has another form
    except Exception:
        return False
    return bool(embedding.mean(-1).abs().max() < 1e-5 * embedding.std())


def processed_away(model: HookedModel, kind: str, centred_sae: bool) -> str:
    """What processing of a model's weights has taken from a kind of site; "" where an SAE of the raw model may read it.

    Folded layer norms change no site; centred writing weights take the mean from the stream and from what is added to
    it; folded value biases take their part from `z`.
    """
    if kind != "z":
        return "centred writing weights" if not centred_sae and is_centred(model) else ""
    try:
        values, queries = model.b_V, model.b_Q
    # a bridge whose attention has no biases, or none of this form
    except Exception:
        return ""
    folded = not bool(values.any()) and bool(queries.any())
    return "folded value biases" if folded else ""


def _class_names(model: object) -> set[str]:
    return {base.__name__ for base in type(model).__mro__}


def _bare_of_adapters(model: Any) -> PreTrainedModel:
    """The transformers model inside a peft model: its layers carry the adapter."""
    if "PeftModel" not in _class_names(model):
        return model
    if getattr(model.active_peft_config, "is_prompt_learning", False):
        raise UnsupportedError(
            f"a {model.active_peft_config.peft_type} adapter adds virtual tokens to the prompt and is no part of the "
            "model's layers. Pass the base model, or an adapter of its weights such as LoRA."
        )
    return model.get_base_model()


def _merge_adapters(clone: Any) -> None:
    """Put active adapters into the weights of the copy, on tensors of its own: some bridges read a layer's weights."""
    import torch

    layers = [(n, m) for n, m in clone.named_modules() if hasattr(m, "get_base_layer") and hasattr(m, "merge")]
    for name, layer in layers:
        base = layer.get_base_layer()
        if not layer.merged and not layer.disable_adapters and layer.active_adapters:
            for key, parameter in list(base.named_parameters(recurse=False)):
                # quantised ones are the copy's own already
                if type(parameter) is torch.nn.Parameter and parameter.is_floating_point():
                    setattr(base, key, torch.nn.Parameter(parameter.detach().clone(), requires_grad=False))
            try:
                layer.merge()
            except (NotImplementedError, AttributeError, ValueError, RuntimeError):
                # some quantised layers cannot take one in: it stays beside them, and the comparison decides
                continue
        parent, _, leaf = name.rpartition(".")
        setattr(clone.get_submodule(parent), leaf, base)


def _name_architecture(clone: PreTrainedModel) -> None:
    """TransformerLens chooses by the name in the config, which a model made in memory lacks."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    known = [base.__name__ for base in type(clone).__mro__ if base.__name__ in SUPPORTED_ARCHITECTURES]
    clone.config.architectures = known[:1] or [type(clone).__name__]


def _only_text(folder: str, name: str) -> None:
    """Make the folder one from which a processor can be loaded without an image library.

    Where that fails TransformerLens would run `pip install torchvision` in the running environment.
    """
    from transformers import AutoProcessor

    (Path(folder) / "config.json").write_text(json.dumps({"model_type": "gpt2"}), encoding="utf-8")
    try:
        AutoProcessor.from_pretrained(folder)
    except Exception as error:
        raise UnsupportedError(
            f"the text side of a {name} cannot be opened without its image processor, for which TransformerLens would "
            f"install packages by itself ({type(error).__name__}). Pass the language model alone."
        ) from error
