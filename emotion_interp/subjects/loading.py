"""Find a subject by name: the bundled one, a local folder, or a hub model with a published SAE release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import require_working_directory, sha256_file
from emotion_interp.core.leftovers import found_folder, is_temporary, sweep
from emotion_interp.core.reading import checked_name, regular_file
from emotion_interp.core.types import Site
from emotion_interp.subjects.lean import lean_tokenizer
from emotion_interp.subjects.load_options import OWN, LoadOptions
from emotion_interp.subjects.lookup import checked_device, checked_release, located, reading_release
from emotion_interp.subjects.named import find_weights
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.subjects.shelf import SaeSource, readers_of
from emotion_interp.subjects.subject import Subject, wrap_transformers

BUNDLED = "bundled"


def bundled_folder() -> Path:
    """Where the bundled subject lies in the installed package."""
    return Path(__file__).parent / "bundled"


@checked
def load_subject(
    name_or_path: str | Path | None = None,
    saes: str | Path | Sequence[Any] | None = None,
    layers: Iterable[int] | None = None,
    device: str = "auto",
    dtype: Any = None,
    load: LoadOptions | None = None,
) -> Subject:
    """Load a subject: no name for the bundled one, a folder, a GGUF file, or a hub name (from the local cache when offline).

    Args:
        name_or_path: None or "bundled"; a Hugging Face folder; a `.gguf` file, dequantised once into a cache folder; a
            name of `named_models()` such as "gemma-3-270m"; a hub name such as "gpt2".
        saes: a SAELens release name, a folder of SAEs (each subfolder with cfg.json), or a list of SAELens SAEs.
            None: no SAEs (the bundled subject brings its own).
        layers: keep only the SAEs of these layers.
        device: "auto" (a CUDA device if there is one), or a torch device.
        dtype: torch dtype of the model; default float32 on CPU, the checkpoint's own on a GPU.
        load: how: device map, quantisation, revision, attention; dtype of the SAEs, and how many stay in memory.

    Raises:
        EmotionInterpError: the model cannot be found or read; a layer has no SAE.
        FileFormatError: a folder without config.json, or a GGUF file that cannot be read.
        UnknownNameError: no such SAE release.

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
        checked_release(saes)
    bundled = name_or_path is None or str(name_or_path) == BUNDLED
    weights = find_weights(bundled_folder() / "model" if name_or_path is None or bundled else name_or_path)
    source = weights.source
    # before torch is imported; the hub is asked once
    found = located(source, revision=how.revision) | how.from_pretrained()
    device, dtype = checked_device(device, dtype)
    model, tokenizer, revision = _load_model(source, device, dtype, found, how)
    if bundled and saes is None:
        saes = bundled_folder() / "saes"
    readers = _load_saes(saes, None if layers is None else sorted(set(layers)), device, model.cfg.n_layers, how)
    provenance: dict[str, Any] = {
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
    return Subject(model, readers, tokenizer, name=name, provenance=provenance)


def _load_model(
    source: str, device: str, dtype: Any, found: dict[str, Any], how: LoadOptions
) -> tuple[Any, Any, str | None]:
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
        model: Any = auto_class.from_pretrained(source, config=config, dtype=dtype, **how.of_model(), **found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        # a damaged folder leads the readers of configurations and tokenizers anywhere
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EmotionInterpError(
            f"no model can be loaded from {source!r} ({first}). Give a folder in Hugging Face layout, a hub name that is "
            "in the local cache or can be downloaded, or nothing for the bundled subject."
        ) from error
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
    if saes is None:
        return []
    for layer in layers or ():
        if not 0 <= layer < n_layers:
            raise UnknownNameError("layer", layer, range(n_layers))
    if isinstance(saes, (str, Path)) and Path(saes).is_dir():
        sources = [sae_source(folder, device, how.sae_name) for folder in sae_folders(saes)]
        if layers is not None:
            # what is not asked for is not loaded
            sources = [s for s in sources if _layer_of(s.config) in (None, *layers)] or sources
        readers = readers_of(sources, how.resident, device)
    elif isinstance(saes, (str, Path)):
        readers = _from_release(str(saes), layers, device, how)
    else:
        readers = [sae if isinstance(sae, SaeReader) else SaeReader(sae) for sae in saes]
    if layers is not None:
        missing = sorted(set(layers) - {r.site.layer for r in readers})
        if missing:
            raise UnknownNameError("SAE layer", missing[0], sorted({r.site.layer for r in readers}))
        readers = [r for r in readers if r.site.layer in layers]
    return readers


def sae_folders(root: str | Path) -> list[Path]:
    """Folders under `root` (or itself) that hold a SAELens SAE.

    Raises:
        FileFormatError: there is none.
    """
    root = found_folder(root)
    sweep(root)
    folders = sorted(p.parent for p in root.rglob("cfg.json") if (p.parent / "sae_weights.safetensors").is_file())
    folders = [f for f in folders if not any(is_temporary(part) for part in f.relative_to(root).parts)]
    if not folders:
        raise FileFormatError(f"{root} holds no SAE: a folder with cfg.json and sae_weights.safetensors is needed.")
    return folders


def load_sae(folder: str | Path, device: str = "cpu", dtype: str = "float32") -> Any:
    """One SAELens SAE from a folder, in float32 or another dtype; "own" is that of its file.

    Raises:
        FileFormatError: the folder is no SAELens SAE, or its files are damaged.
    """
    from sae_lens import SAE

    folder = _checked_sae(folder)
    with _readable(folder):
        return SAE.load_from_disk(folder, device=device, dtype=None if dtype == OWN else dtype)


def sae_source(folder: str | Path, device: str = "cpu", dtype: str = "float32") -> SaeSource:
    """An SAE of a folder, not yet loaded; arguments and errors as those of `load_sae`."""
    from sae_lens import SAE
    from sae_lens.loading.pretrained_sae_loaders import get_sae_lens_config_from_disk, handle_config_defaulting

    folder = _checked_sae(folder)
    with _readable(folder):
        told = handle_config_defaulting(
            get_sae_lens_config_from_disk(folder, device, None if dtype == OWN else {"dtype": dtype})
        )
        config = SAE.get_sae_config_class_for_architecture(told["architecture"]).from_dict(told)
    return SaeSource(partial(load_sae, folder, device, dtype), config)


def _checked_sae(folder: str | Path) -> Path:
    folder = found_folder(folder)
    for name in ("cfg.json", "sae_weights.safetensors"):
        regular_file(folder / name, "an SAE is a folder with cfg.json and sae_weights.safetensors", largest=None)
    return folder


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except EmotionInterpError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise FileFormatError(
            f"{folder} is no readable SAELens SAE ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
            "It needs cfg.json and sae_weights.safetensors as SAE.save_model or save_inference_model write them."
        ) from error


def _layer_of(config: Any) -> int | None:
    """The layer that a configuration names."""
    metadata = config.metadata
    if "hook_name" not in metadata or not isinstance(metadata.hook_name, str):
        return None
    match = re.match(r"blocks\.(\d+)\.", metadata.hook_name)
    return int(match[1]) if match else None


def _from_release(release: str, layers: list[int] | None, device: str, how: LoadOptions) -> list[SaeReader]:
    """One SAE for each layer of a published release; where a layer has several, the first listed (the canonical one)."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    checked_release(release)
    directory = get_pretrained_saes_directory()
    chosen: dict[int, str] = {}
    for sae_id in directory[release].saes_map:
        match = re.search(r"(?:blocks\.|layer_|layers\.|layer)(\d+)", sae_id)
        if match and (layers is None or int(match[1]) in layers):
            chosen.setdefault(int(match[1]), sae_id)
    missing = sorted(set(layers or ()) - set(chosen))
    if missing:
        raise UnknownNameError(f"layer of the SAE release {release}", missing[0], sorted(chosen))
    repository = directory[release].repo_id
    dtype = "float32" if how.sae_name == OWN else how.sae_name
    sources = [
        SaeSource(partial(_released, release, sae_id, repository, device, dtype), site=_site_of(sae_id))
        for sae_id in chosen.values()
    ]
    return readers_of(sources, how.resident, device)


def _released(release: str, sae_id: str, repository: str, device: str, dtype: str) -> Any:
    """One SAE of a published release."""
    from sae_lens import SAE

    try:
        with reading_release(repository):
            return SAE.from_pretrained(release, sae_id, device=device, dtype=dtype)
    except (OSError, ValueError) as error:
        raise EmotionInterpError(
            f"the SAE {sae_id!r} of release {release!r} can be neither downloaded nor found in the local cache: {error}"
        ) from error


def _site_of(sae_id: str) -> Site | None:
    """The site that an id names: some releases say it nowhere else."""
    match = re.match(r"blocks\.\d+\.(?:attn\.)?hook_\w+?(?=$|_\d)", sae_id)
    return Site.parse(match[0]) if match else None
