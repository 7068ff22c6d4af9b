"""The subject: a hooked model with the SAEs that read it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError
from emotion_interp.core.types import Site, sites_at
from emotion_interp.subjects.sae_reader import SaeReader, named_apart

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TokenizedText:
    """Token ids of one text with character offsets; `ids[0]` is BOS where `has_bos` (its offset is (0, 0))."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    has_bos: bool

    def __len__(self) -> int:
        return len(self.ids)


@checked_methods
class Subject:
    """A model under study with the SAEs that read it.

    A `TransformerBridge` or `HookedTransformer` is used as it is; a `transformers` model is wrapped through a copy
    that shares its tensors, because wrapping rebuilds a model in place. Nothing handed in is changed.

    Args:
        model: `TransformerBridge`, `HookedTransformer`, or a causal `transformers` model.
        saes: SAELens SAEs: a sequence (each placed by its metadata's hook_name) or a mapping from `Site`. SAEs that read
            one hook point get names by their width: `Site(5, sae="16k")`, `Site(5, sae="65k")`.
        tokenizer: fast tokenizer; default: the model's own.
        name: shown in tables and manifests.
        provenance: release, revision, ids: kept in every manifest.

    Raises:
        UnsupportedError: SAEs already spliced into the model, a slow tokenizer, an SAE that cannot be read,
            or a processed model under an SAE of the raw one.
        EmotionInterpError: an SAE does not fit the model, or was given twice; the tokenizer is missing.

    Example:
        >>> import emotion_interp as ei
        >>> subject = ei.load_subject()  # doctest: +SKIP
        >>> ei.Subject(subject.model, saes=list(subject.saes.values()))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        saes: Sequence[Any] | Mapping[Site, Any] = (),
        tokenizer: Any = None,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend, self.model = _hooked(model, tokenizer)
        self.tokenizer: Any = tokenizer if tokenizer is not None else getattr(self.model, "tokenizer", None)
        if self.tokenizer is None:
            raise EmotionInterpError("the model has no tokenizer; pass tokenizer=AutoTokenizer.from_pretrained(...).")
        if not getattr(self.tokenizer, "is_fast", False):
            raise UnsupportedError(
                f"{type(self.tokenizer).__name__} is a slow tokenizer and gives no character offsets; pass the fast one."
            )
        config = self.model.cfg
        self.n_layers, self.d_model = int(config.n_layers), int(config.d_model)
        self.context = int(getattr(config, "n_ctx", None) or 1024)
        self.name = name or str(getattr(config, "model_name", None) or "custom")
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.scales: dict[Site, float] = {}
        pairs = list(saes.items()) if isinstance(saes, Mapping) else [(None, sae) for sae in saes]
        readers = [sae if isinstance(sae, SaeReader) else SaeReader(sae, site) for site, sae in pairs]
        for reader in readers:
            self._check_fit(reader)
        self.readers: dict[Site, SaeReader] = dict(sorted((r.site, r) for r in named_apart(readers)))

    # -- what it is ---------------------------------------------------------------------------------------------------
    @property
    def saes(self) -> dict[Site, Any]:
        """The SAELens SAEs by site."""
        return {site: reader.sae for site, reader in self.readers.items()}

    @property
    def sites(self) -> list[Site]:
        """Sites that have an SAE."""
        return list(self.readers)

    @property
    def layers(self) -> list[int]:
        """Layers that have an SAE."""
        return sorted({site.layer for site in self.readers})

    @property
    def device(self) -> torch.device:
        return next(iter(self.model.parameters())).device

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.model.parameters())).dtype

    @property
    def prepends_bos(self) -> bool:
        """Whether texts are read with a leading BOS token, as the model was trained."""
        default = getattr(self.model.cfg, "default_prepend_bos", True)
        return self.tokenizer.bos_token_id is not None and default is not False

    def site(self, layer: int | Site | str, kind: str | None = None) -> Site:
        """The site of a layer: the one with an SAE if there is one, else `resid_post`.

        Of several SAEs in a layer that of `resid_post`, else the first in order; `sae_sites` gives all.

        Raises:
            UnknownNameError: the model has no such layer.
        """
        if isinstance(layer, str):
            layer = Site.parse(layer)
        if isinstance(layer, Site):
            site = layer
        elif kind is None:
            site = sites_at(self.readers, layer)[0] if layer in self.layers else Site(layer)
        else:
            site = Site(layer, kind)
        if site.layer >= self.n_layers:
            raise UnknownNameError("layer", site.layer, range(self.n_layers))
        return site

    def sae_sites(self, layers: Iterable[int | Site | str] | None = None) -> list[Site]:
        """The sites with an SAE: all of them, or those at some layers (every one of a layer), hook names or sites.

        Raises:
            EmotionInterpError: the subject has no SAE.
            UnknownNameError: there is no SAE.
        """
        if not self.readers:
            raise EmotionInterpError(
                f"{self.name} has no SAE; pass saes= to load_subject or train some with train-saes."
            )
        if layers is None:
            return self.sites
        found: set[Site] = set()
        for layer in layers:
            try:
                found.update(sites_at(self.readers, layer))
            except UnknownNameError as error:
                self.site(layer)
                if isinstance(layer, (Site, str)):
                    raise UnknownNameError("SAE site", str(layer), map(str, self.readers)) from error
                raise UnknownNameError("SAE layer", layer, self.layers) from error
        return sorted(found)

    def check_sites(self, sites: Iterable[Site]) -> None:
        """Refuse hook names the model does not have: the bridge would silently ignore them."""
        names = self.model.hook_dict
        for site in sites:
            self.site(site)
            if site.hook_name not in names:
                raise UnknownNameError("hook", site.hook_name, sorted(n for n in names if n.startswith("blocks.0.")))

    # -- text ---------------------------------------------------------------------------------------------------------
    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Token ids and character offsets of each text, BOS first where the model wants one, cut to the context.

        Raises:
            EmotionInterpError: a text becomes no token at all.
        """
        if not len(texts):
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        bos = self.prepends_bos
        room = self.context - int(bos)
        result = []
        for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if not ids:
                raise EmotionInterpError(
                    f"the text {text!r} becomes no token under this model's tokenizer; leave it out."
                )
            if bos:
                ids, offsets = [self.tokenizer.bos_token_id, *ids[:room]], [(0, 0), *offsets[:room]]
            else:
                ids, offsets = ids[:room], offsets[:room]
            result.append(TokenizedText(tuple(ids), tuple(map(tuple, offsets)), bos))
        return result

    def generate(self, prompts: str | Sequence[str], max_new_tokens: int = 40, **options: Any) -> Any:
        """Continue prompts: str in, str out; list in, list out, also for one. Options: see `subjects.generation`."""
        from emotion_interp.subjects.generation import generate

        return generate(self, prompts, max_new_tokens=max_new_tokens, **options)

    def stream(self, prompts: str | Sequence[str], max_new_tokens: int = 40, **options: Any) -> Iterator[Any]:
        """Continue prompts piece by piece: pieces of text, or (row, piece) for a list: see `subjects.generation`."""
        from emotion_interp.subjects.generation import stream

        return stream(self, prompts, max_new_tokens=max_new_tokens, **options)

    # -- checks -------------------------------------------------------------------------------------------------------
    def _check_fit(self, reader: SaeReader) -> None:
        site = self.site(reader.site)
        width = self.d_model
        if site.kind == "z":
            width = int(self.model.cfg.n_heads * self.model.cfg.d_head)
        if reader.d_in != width:
            raise EmotionInterpError(
                f"the SAE at {site} reads {reader.d_in} dimensions, but {self.name} has {width}. It belongs to another model."
            )
        if site.hook_name not in self.model.hook_dict:
            raise UnknownNameError("hook", site.hook_name, sorted(self.model.hook_dict))
        if (
            self.backend == "hooked"
            and not reader.centred
            and site.kind.startswith("resid")
            and _is_centred(self.model)
        ):
            raise UnsupportedError(
                f"this HookedTransformer has centred writing weights, and the SAE at {site} was trained on the raw model: "
                "the mean of the stream is lost. Load the model with from_pretrained_no_processing(...)."
            )

    def __repr__(self) -> str:
        return f"Subject({self.name!r}, {self.n_layers} layers x {self.d_model}, {len(self.readers)} SAEs, backend={self.backend!r})"


def _is_centred(model: Any) -> bool:
    """Whether a HookedTransformer's embedding writes no mean into the stream (centred writing weights)."""
    embedding = model.W_E.detach().float()
    return bool(embedding.mean(-1).abs().max() < 1e-5 * embedding.std())


def _hooked(model: Any, tokenizer: Any) -> tuple[str, Any]:
    """The backend's name and a hooked model; a plain `transformers` model is wrapped through a tensor-sharing copy."""
    names = {base.__name__ for base in type(model).__mro__}
    if {"SAETransformerBridge", "HookedSAETransformer"} & names and getattr(model, "acts_to_saes", None):
        raise UnsupportedError(
            "SAEs are spliced into this model; call model.reset_saes() first, or pass the bare model."
        )
    if "TransformerBridge" in names:
        return "bridge", model
    if "HookedTransformer" in names:
        return "hooked", model
    if "PreTrainedModel" in names:
        from transformer_lens.model_bridge import TransformerBridge

        if tokenizer is None:
            raise EmotionInterpError("a transformers model carries no tokenizer; pass tokenizer=...")
        return "bridge", wrap_transformers(TransformerBridge, model, tokenizer)
    raise UnsupportedError(
        f"expected a TransformerBridge, a HookedTransformer or a transformers model, got {type(model).__name__}."
    )


def wrap_transformers(bridge_class: Any, model: Any, tokenizer: Any) -> Any:
    """A bridge around a copy of `model` that shares its tensors: booting rebuilds the given model in place."""
    shared = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    # booting also rewrites the tokenizer's special tokens
    clone, own_tokenizer = copy.deepcopy(model, shared), copy.deepcopy(tokenizer)
    parameter = next(iter(model.parameters()))
    training = model.training
    name = str(getattr(model.config, "_name_or_path", "") or "custom")
    with tempfile.TemporaryDirectory() as folder:
        source = str(own_tokenizer.init_kwargs.get("name_or_path") or "")
        homeless = not source or (Path(source).is_absolute() and not Path(source).exists())
        if homeless:
            # TransformerLens loads a tokenizer again from where it came from; one made in memory came from nowhere
            own_tokenizer.save_pretrained(folder)
            own_tokenizer = type(tokenizer).from_pretrained(folder)
        bridge = bridge_class.boot_transformers(
            name, hf_model=clone, tokenizer=own_tokenizer, dtype=parameter.dtype, device=parameter.device
        )
        if homeless:
            bridge.tokenizer.name_or_path = source
    bridge.train(training)
    return bridge


def span_tokens(tokens: TokenizedText, span: tuple[int, int]) -> np.ndarray:
    """Indices of the tokens that overlap a character span (byte-level pieces of one character all count)."""
    start, end = span
    first = int(tokens.has_bos)
    hits = [i for i in range(first, len(tokens)) if tokens.offsets[i][1] > start and tokens.offsets[i][0] < end]
    return np.asarray(hits, dtype=np.int64)
