"""The subject: a hooked model with the SAEs that read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError, tell
from emotion_interp.core.files import require_working_directory
from emotion_interp.core.markup import facts_html
from emotion_interp.core.types import Site, sites_at
from emotion_interp.subjects.chat import left_open, rendered
from emotion_interp.subjects.checks import uncached
from emotion_interp.subjects.generation import Conversation, Prompts, chat, generate, stream
from emotion_interp.subjects.sae_facts import tell_of_context, tell_of_other_models
from emotion_interp.subjects.sae_identity import named_apart
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.subjects.shelf import SaeView
from emotion_interp.subjects.site_check import check_readable
from emotion_interp.subjects.tokens import TokenizedText, bos_id, refuse_cuts, tell_of_cuts, tokenized
from emotion_interp.subjects.turns import ChatText
from emotion_interp.subjects.wrapping import hooked_model, processed_away, wrap_transformers

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE
    from transformers import PreTrainedTokenizerBase

__all__ = ["Subject", "TokenizedText", "wrap_transformers"]


@checked_methods
class Subject:
    """A model under study with the SAEs that read it.

    A `TransformerBridge` or `HookedTransformer` is used as it is; a `transformers` model is wrapped through a copy
    that shares its tensors, because wrapping rebuilds a model in place. Nothing handed in is changed, and what is read
    and steered is what it computes: logits of a short text are compared, and a model for which they differ is refused.

    A text begins with exactly one BOS where the tokenizer was made with one and `model.cfg.default_prepend_bos` is not
    False: put there, or as the text spells it (chat templates do). An EOS that TransformerLens takes for a missing BOS is
    none.

    Threads and asyncio tasks may share a subject: forward passes take turns, and what is steered belongs to the thread or
    task that steers (see `steer`). Hooks of your own on `subject.model` act on everybody, as TransformerLens has them.

    Args:
        model: `TransformerBridge`, `HookedTransformer`, or a causal `transformers` model.
        saes: SAELens SAEs: a sequence (each placed by its metadata's hook_name) or a mapping from `Site`. SAEs that read
            one hook point get names by their width: `Site(5, sae="16k")`, `Site(5, sae="65k")`.
        tokenizer: fast tokenizer; default: the model's own.
        name: shown in tables and manifests.
        provenance: release, revision, ids: kept in every manifest.

    Raises:
        UnsupportedError: SAEs already spliced into the model, a slow tokenizer, an SAE that cannot be read,
            a processed model under an SAE of the raw one, or a model that TransformerLens does not compute as it is.
        EmotionInterpError: an SAE does not fit the model, or was given twice; the tokenizer is missing.

    Example:
        >>> import emotion_interp as ei
        >>> subject = ei.load_subject()  # doctest: +SKIP
        >>> ei.Subject(subject.model, saes=list(subject.saes.values()))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: object,
        saes: Sequence[object] | Mapping[Site, object] = (),
        tokenizer: PreTrainedTokenizerBase | None = None,
        name: str | None = None,
        provenance: Mapping[str, object] | None = None,
    ) -> None:
        require_working_directory()
        self.backend, self.model = hooked_model(model, tokenizer)
        given = tokenizer if tokenizer is not None else getattr(self.model, "tokenizer", None)
        if given is None:
            raise EmotionInterpError("the model has no tokenizer; pass tokenizer=AutoTokenizer.from_pretrained(...).")
        if not getattr(given, "is_fast", False):
            raise UnsupportedError(
                f"{type(given).__name__} is a slow tokenizer and gives no character offsets; pass the fast one."
            )
        self.tokenizer: Any = given
        config = self.model.cfg
        self.n_layers, self.d_model = int(config.n_layers), int(config.d_model)
        self.context = int(getattr(config, "n_ctx", None) or 1024)
        self.name = name or str(getattr(config, "model_name", None) or "custom")
        self.provenance: dict[str, object] = dict(provenance or {})
        self.scales: dict[Site, float] = {}
        pairs = list(saes.items()) if isinstance(saes, Mapping) else [(None, sae) for sae in saes]
        readers = [sae if isinstance(sae, SaeReader) else SaeReader(sae, site) for site, sae in pairs]
        for reader in readers:
            self._check_fit(reader)
        self.readers: dict[Site, SaeReader] = dict(sorted((r.site, r) for r in named_apart(readers)))
        self._tell_of_bos()
        tell_of_other_models(self)
        tell_of_context(self)

    # -- what it is ---------------------------------------------------------------------------------------------------
    @property
    def saes(self) -> Mapping[Site, SAE]:
        """The SAELens SAEs by site; those that wait on disk are loaded as they are asked for."""
        return SaeView(self.readers)

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

    @cached_property
    def uncached_options(self) -> Mapping[str, object]:
        """Options of a forward pass that keeps nothing, as this model's bridge takes them."""
        if self.backend == "hooked":
            return {}
        return uncached(self.model, [0, 1])[1]

    @property
    def prepends_bos(self) -> bool:
        """Whether a BOS is put before texts that do not spell it: the tokenizer has one, and the model's settings ask for it."""
        default = getattr(self.model.cfg, "default_prepend_bos", True)
        return bos_id(self.tokenizer) is not None and default is not False

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
        """Refuse hook names the model does not have (the bridge would ignore them) and sites that are not what they say."""
        names = self.model.hook_dict
        for site in sites:
            self.site(site)
            if site.hook_name not in names:
                raise UnknownNameError("hook", site.hook_name, sorted(n for n in names if n.startswith("blocks.0.")))
            check_readable(self, site)

    # -- text ---------------------------------------------------------------------------------------------------------
    def tokenize(self, texts: Sequence[str], whole: bool = False) -> list[TokenizedText]:
        """Token ids and character offsets of each text, with one BOS at the start where the model wants or the text spells it.

        Args:
            texts: the texts.
            whole: refuse a text that is longer than the context; else it is cut there.

        Raises:
            EmotionInterpError: a text becomes no token at all, or is too long under `whole`.

        Warns:
            UserWarning: texts were cut.
        """
        tokens = self.tokenize_quietly(texts, only_bos=whole)
        if whole:
            refuse_cuts(tokens, texts, self.context)
        tell_of_cuts(sum(t.cut_at is not None for t in tokens), len(tokens), self.context)
        return tokens

    def tokenize_quietly(self, texts: Sequence[str], only_bos: bool = False) -> list[TokenizedText]:
        """As `tokenize`, for callers that look at `cut_at` themselves."""
        return tokenized(self.tokenizer, texts, self.prepends_bos, self.context, only_bos)

    def has_bos(self, token_rows: Sequence[Sequence[int]]) -> np.ndarray:
        """Whether each row of token ids begins with the model's BOS: [row]."""
        bos = bos_id(self.tokenizer)
        return np.asarray([bos is not None and len(row) > 0 and int(row[0]) == bos for row in token_rows], dtype=bool)

    def rendered(
        self, messages: object, template_options: Mapping[str, object] | None = None, continued: bool = False
    ) -> ChatText:
        """A conversation as the model's own chat template writes it: a text that can be given wherever texts are.

        Its tokens are those of the tokenizer's `apply_chat_template`, with the header of the assistant's turn behind the
        user's last words, and one BOS where the model wants one.

        Args:
            messages: [{"role": "user", "content": ...}, ...]; roles are "system", "user" and "assistant".
            template_options: variables of the template, such as `{"enable_thinking": False}`.
            continued: leave the assistant's last words open, where the conversation ends with them.

        Raises:
            UnsupportedError: no chat template, or one that refuses these roles or leaves a message out.
            EmotionInterpError: no messages, or one that spells a control token.

        Example:
            >>> subject.rendered([{"role": "user", "content": "Hello"}])  # doctest: +SKIP
            '<|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n'
        """
        text = rendered(self.tokenizer, messages, self.name, template_options)
        return left_open(text) if continued else text

    @overload
    def chat(self, messages: Conversation, max_new_tokens: int = 200, **options: object) -> str: ...
    @overload
    def chat(self, messages: Sequence[Conversation], max_new_tokens: int = 200, **options: object) -> list[str]: ...
    def chat(self, messages: Any, max_new_tokens: int = 200, **options: Any) -> str | list[str]:
        """The reply to a conversation; a list of conversations gives a list: see `subjects.generation.chat`."""
        return chat(self, messages, max_new_tokens=max_new_tokens, **options)

    @overload
    def generate(self, prompts: str | Conversation, max_new_tokens: int = 40, **options: object) -> str: ...
    @overload
    def generate(
        self, prompts: Sequence[str | Conversation], max_new_tokens: int = 40, **options: object
    ) -> list[str]: ...
    def generate(self, prompts: Prompts, max_new_tokens: int = 40, **options: Any) -> str | list[str]:
        """Continue prompts: str in, str out; list in, list out, also for one. Options: see `subjects.generation`."""
        return generate(self, prompts, max_new_tokens=max_new_tokens, **options)

    @overload
    def stream(self, prompts: str | Conversation, max_new_tokens: int = 40, **options: object) -> Iterator[str]: ...
    @overload
    def stream(
        self, prompts: Sequence[str | Conversation], max_new_tokens: int = 40, **options: object
    ) -> Iterator[tuple[int, str]]: ...
    def stream(self, prompts: Prompts, max_new_tokens: int = 40, **options: Any) -> Iterator[object]:
        """Continue prompts piece by piece: pieces of text, or (row, piece) for a list: see `subjects.generation`."""
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
        reason = processed_away(self.model, site.kind, reader.centred)
        if reason:
            raise UnsupportedError(
                f"this {type(self.model).__name__} has {reason}, and the SAE at {site} was trained on the raw model: what it "
                "reads is lost. Load the model with from_pretrained_no_processing(...), or boot a bridge and leave "
                "enable_compatibility_mode() out."
            )

    def _tell_of_bos(self) -> None:
        """One line where SAEs were trained with BOS before the texts and the subject has none, or the other way round."""
        ours = self.prepends_bos
        other = [str(site) for site, reader in self.readers.items() if reader.prepend_bos == (not ours)]
        if other:
            why = "has none" if bos_id(self.tokenizer) is None else "does not put one there (cfg.default_prepend_bos)"
            tell(
                f"{len(other)} of {len(self.readers)} SAEs ({other[0]}, ...) were trained on texts "
                + (
                    f"without a BOS token, but {self.name} puts one before them"
                    if ours
                    else f"that begin with BOS, but {self.name} {why}"
                )
                + ": their features may read differently here."
            )

    def _repr_html_(self) -> str:
        saes = {str(site): f"{reader.d_sae:,} features" for site, reader in self.readers.items()}
        return facts_html(self, {"device": self.device, "context": self.context, **saes})

    def __repr__(self) -> str:
        return f"Subject({self.name!r}, {self.n_layers} layers x {self.d_model}, {len(self.readers)} SAEs, backend={self.backend!r})"
