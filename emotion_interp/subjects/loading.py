"""Find a subject by name: the bundled one, a local folder, or a hub model with a published SAE release."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import require_working_directory, sha256_file
from emotion_interp.core.reading import checked_name
from emotion_interp.subjects.lean import lean_tokenizer
from emotion_interp.subjects.load_options import LoadOptions
from emotion_interp.subjects.lookup import checked_device, located
from emotion_interp.subjects.named import find_weights
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.sae_facts import metadata_of
from emotion_interp.subjects.sae_folders import load_sae
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.subjects.sae_sources import ChosenSae, checked_saes, chosen_saes, sae_source
from emotion_interp.subjects.shelf import readers_of
from emotion_interp.subjects.subject import Subject, wrap_transformers
from emotion_interp.subjects.weights_check import check_weights, tell_of_vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from emotion_interp.subjects.hooked import HookedModel

__all__ = ["BUNDLED", "bundled_folder", "load_sae", "load_subject"]

BUNDLED = "bundled"


def bundled_folder() -> Path:
    """Where the bundled subject lies in the installed package."""
    return Path(__file__).parent / "bundled"


@checked
def load_subject(
    name_or_path: str | Path | None = None,
    saes: str | Path | Sequence[object] | None = None,
    layers: Iterable[int] | None = None,
    device: str = "auto",
    dtype: object = None,
    choose: SaeChoice | None = None,
    load: LoadOptions | None = None,
) -> Subject:
    """Load a subject: no name for the bundled one, a folder, a GGUF file, or a hub name (from the local cache when offline).

    Args:
        name_or_path: None or "bundled"; a Hugging Face folder; a `.gguf` file, dequantised once into a cache folder; a
            name of `named_models()` such as "gemma-3-270m"; a hub name such as "gpt2".
        saes: a SAELens release name, `user/repo` on the hub, a folder of SAEs (SAELens', or in the layout of
            dictionary_learning, sparsify, Gemma Scope or OpenMOSS), or a list of SAELens SAEs. None: no SAEs (the bundled
            subject brings its own).
        layers: keep only the SAEs of these layers.
        device: "auto" (a CUDA device if there is one), or a torch device.
        dtype: torch dtype of the model; default float32 on CPU, the checkpoint's own on a GPU.
        choose: which SAEs of a release or folder that has several at one site: by width, l0 or ids.
        load: how: device map, quantisation, revision, attention; dtype of the SAEs, and how many stay in memory.

    Raises:
        EmotionInterpError: the model cannot be found or read; a layer has no SAE; several at one site and no choice.
        FileFormatError: a folder without config.json, or a GGUF file that cannot be read.
        UnknownNameError: no such SAE release, or nothing in it that was chosen.
        UnsupportedError: a release whose SAEs cannot be read here, with the reason.

    Example:
        >>> load_subject()  # doctest: +SKIP
        Subject('bundled', 4 layers x 256, 4 SAEs, backend='bridge')
    """
    require_working_directory()
    how = load or LoadOptions()
    if name_or_path is not None:
        checked_name(name_or_path, "a model's name")
    if isinstance(saes, (str, Path)):
        checked_name(saes, "a release or folder of SAEs")
    if isinstance(saes, str):
        checked_saes(saes)
    bundled = name_or_path is None or str(name_or_path) == BUNDLED
    weights = find_weights(bundled_folder() / "model" if name_or_path is None or bundled else name_or_path)
    source = weights.source
    if choose and not (isinstance(saes, (str, Path)) or (saes is None and bundled)):
        given = "there is no saes=" if saes is None else "these are given one by one"
        raise EmotionInterpError(f"choose= is for a release, a repository or a folder of SAEs, and {given}.")
    # before torch is imported; the hub is asked once
    found = located(source, revision=how.revision) | how.from_pretrained()
    if bundled and saes is None:
        saes = bundled_folder() / "saes"
    wanted = None if layers is None else sorted(set(layers))
    # a model may take minutes to load: what is wrong with the choice of its SAEs is said before
    chosen = chosen_saes(saes, wanted, choose) if isinstance(saes, (str, Path)) else None
    device, dtype = checked_device(device, dtype)
    model, tokenizer, revision = _load_model(source, device, dtype, found, how)
    readers = _load_saes(saes if chosen is None else chosen, wanted, device, model.cfg.n_layers, how)
    provenance: dict[str, object] = {
        "source": BUNDLED if bundled else Path(source).name,
        "dtype": str(model.cfg.dtype),
    }
    # a dequantised folder knows its digest; a gigabyte is not hashed again
    provenance.update(weights.provenance or {})
    provenance.update(how.noted())
    file = Path(source) / "model.safetensors"
    if not file.is_file():
        provenance["revision"] = revision
    elif not provenance.get("sha256"):
        provenance["sha256"] = sha256_file(file)
    if isinstance(saes, str) and not Path(saes).is_dir():
        provenance["sae_release"] = saes
    name = BUNDLED if bundled else weights.name or (Path(source).name if Path(source).is_dir() else source)
    subject = Subject(model, readers, tokenizer, name=name, provenance=provenance)
    if choose or "sae_release" in provenance:
        told = {str(site): metadata_of(reader) for site, reader in subject.readers.items()}
        subject.provenance["sae_ids"] = {site: str(metadata.sae_id) for site, metadata in told.items()}
    return subject


def _load_model(
    source: str, device: str, dtype: torch.dtype | str | None, found: dict[str, Any], how: LoadOptions
) -> tuple[HookedModel, PreTrainedTokenizerBase, str | None]:
    """Bridge, tokenizer and the hub revision (None for a folder); `found`: where the files are, of `located`."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
    )
    from transformers.utils import logging as transformers_logging

    if Path(source).exists() and not (Path(source) / "config.json").is_file():
        raise FileFormatError(f"{source} holds no config.json; a model folder in Hugging Face layout is needed.")
    if dtype is None:
        # bfloat16 on a CPU without the right instructions is a hundred times slower than float32
        dtype = torch.float32 if device == "cpu" else "auto"
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = lean_tokenizer(AutoTokenizer.from_pretrained(source, **found))
        config = AutoConfig.from_pretrained(source, **found)
        # some models that also see images are listed only as such; their text side is a causal model like another
        seeing = (
            type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        )
        auto_class = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
        options = {**how.of_model(), **found, "output_loading_info": True}
        loaded: Any = auto_class.from_pretrained(source, config=config, dtype=dtype, **options)
        model, told = loaded
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        # a damaged folder leads the readers of configurations and tokenizers anywhere
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EmotionInterpError(
            f"no model can be loaded from {source!r} ({first}). Give a folder in Hugging Face layout, a hub name that is "
            "in the local cache or can be downloaded, or nothing for the bundled subject."
        ) from error
    # packed weights go by other names
    if how.quantization_config is None and getattr(config, "quantization_config", None) is None:
        check_weights(source, told)
    tell_of_vocabulary(source, tokenizer, int(getattr(config.get_text_config(), "vocab_size", None) or 0))
    model.eval()
    if how.device_map is None and how.quantization_config is None:
        model.to(device)
    revision = getattr(model.config, "_commit_hash", None) or _cached_revision(source, how.revision)
    return wrap_transformers(TransformerBridge, model, tokenizer, own_tokenizer=True), tokenizer, revision


def _cached_revision(source: str, asked: str | None) -> str | None:
    """The commit of the snapshot in the local cache that a hub name was read from."""
    if Path(source).exists():
        return None
    found = try_to_load_from_cache(source, "config.json", revision=asked)
    return Path(found).parent.name if isinstance(found, str) else None


def _load_saes(saes: Any, layers: list[int] | None, device: str, n_layers: int, how: LoadOptions) -> list[SaeReader]:
    """Readers of chosen SAEs, or of SAEs given one by one, at the layers asked for."""
    if saes is None:
        return []
    for layer in layers or ():
        if not 0 <= layer < n_layers:
            raise UnknownNameError("layer", layer, range(n_layers))
    if all(isinstance(sae, ChosenSae) for sae in saes):
        readers = readers_of([sae_source(chosen, device, how.sae_name) for chosen in saes], how.resident, device)
    else:
        readers = [sae if isinstance(sae, SaeReader) else SaeReader(sae) for sae in saes]
    if layers is not None:
        missing = sorted(set(layers) - {r.site.layer for r in readers})
        if missing:
            raise UnknownNameError("SAE layer", missing[0], sorted({r.site.layer for r in readers}))
        readers = [r for r in readers if r.site.layer in layers]
    return readers
