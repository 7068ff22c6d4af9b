"""One SAELens SAE, read exactly: input transform, refusal of what cannot be read, partial encoding."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import (
    EmotionInterpError,
    FileFormatError,
    NotFiniteError,
    UnknownNameError,
    UnsupportedError,
)
from emotion_interp.core.scopes import lock_of, surely
from emotion_interp.core.types import Site
from emotion_interp.subjects.lean import ends
from emotion_interp.subjects.plan import no_gradients
from emotion_interp.subjects.sae_identity import encoder_signature_of, signature_of
from emotion_interp.subjects.sae_kinds import is_inference_sae, is_training_sae, sliced_as

if TYPE_CHECKING:
    import numpy as np
    import torch

    from emotion_interp.subjects.hooked import SaeFacts, SaeSettings

ENCODABLE = ("standard", "jumprelu", "gated", "topk", "abstopk")
"""Architectures (SAELens' names) whose encoder reads one token on its own at inference. A (Matryoshka) BatchTopK SAE
is one of them: `save_inference_model` writes it as "jumprelu"."""

_TRANSCODER = (
    "a transcoder writes another site than it reads (an MLP's output from its input), so its decoder rows are no "
    "directions where it reads. Use an SAE of resid_post, or of mlp_out."
)
REFUSED = {
    "transcoder": _TRANSCODER,
    "temporal": "a temporal SAE encodes a token together with those before it, and here tokens are encoded one by one. "
    "Use an SAE that reads single tokens.",
    "matching_pursuit": "matching pursuit has no encoder: it searches, and what a latent gets depends on those picked "
    "before it. Use an SAE with an encoder (standard, jumprelu, topk) of the same site.",
    "crosscoder": "a crosscoder reads several layers at once, and an SAE is read at one site here. Use an SAE of each "
    "layer.",
}
"""Why an architecture with such a word in its name cannot be read, and what would be right."""


class SaeReader:
    """Encodes a site's activations with one SAE; the SAE handed in is never changed.

    Args:
        sae: a SAELens SAE in its inference form.
        site: where it reads; default: the `hook_name` in its metadata.
        norm_factor: scaling factor of an `expected_average_only_in` SAE whose factor was never folded.

    Raises:
        UnsupportedError: a training SAE, a transcoder, an architecture that reads several tokens, or an
            unfolded activation norm without its factor.
    """

    # Long: what is refused of an SAE, one after another, and what is then known of it.
    def __init__(self, sae: Any, site: Site | None = None, norm_factor: float | None = None) -> None:
        if is_training_sae(sae):
            raise UnsupportedError(
                f"{type(sae).__name__} is a training SAE: what it encodes depends on the batch. "
                "Save it with save_inference_model(...) and load that folder."
            )
        known = is_inference_sae(sae)
        architecture = sae.cfg.architecture() if known else type(sae).__name__
        if not known:
            _refuse_architecture(architecture)
            raise UnsupportedError(f"expected a SAELens SAE, got {architecture}.")
        self._describe(sae.cfg, site)
        self._sae = self._usable(sae, norm_factor)
        # folding a factor is noted in the configuration
        self.config = self._sae.cfg

    def _describe(self, config: SaeSettings, site: Site | None) -> None:
        """What the configuration says, without weights; refused where such an SAE cannot be read."""
        self.architecture: str = config.architecture()
        _refuse_architecture(self.architecture)
        if self.architecture not in ENCODABLE:
            raise UnsupportedError(
                f"the architecture {self.architecture!r} cannot be read here. Readable: {', '.join(ENCODABLE)}."
            )
        metadata = config.metadata
        if site is None:
            # SAEMetadata answers None to any misspelt key, so ask for the key first
            if "hook_name" not in metadata or not metadata.hook_name:
                raise EmotionInterpError("the SAE's metadata has no hook_name; pass site=Site(layer, kind).")
            if not isinstance(metadata.hook_name, str):
                raise FileFormatError(
                    f"the SAE's metadata has the hook_name {metadata.hook_name!r}; a hook's name is text."
                )
            site = Site.parse(metadata.hook_name)
        self.config: SaeSettings = config
        self.site: Site = site
        self.centred = _was_centred(metadata)
        asked = metadata.prepend_bos if "prepend_bos" in metadata else None
        self.prepend_bos: bool | None = asked if isinstance(asked, bool) else None

    def _usable(self, sae: Any, norm_factor: float | None = None) -> Any:
        """The SAE with its activation norm folded; refused where its weights cannot be read."""
        site = self.site
        if sae.cfg.normalize_activations == "expected_average_only_in":
            if norm_factor is None:
                raise UnsupportedError(
                    f"the SAE at {site} expects inputs scaled by 'expected_average_only_in', and its factor was not "
                    "folded when it was saved. Give norm_factor=..., or fold it before saving."
                )
            sae = copy.deepcopy(sae)
            sae.fold_activation_norm_scaling_factor(norm_factor)
        if sae.cfg.normalize_activations == "covariance_whitening":
            raise UnsupportedError(
                f"the SAE at {site} expects whitened inputs, and the whitening was not folded when it was saved. "
                "Fold it with sae.fold_activation_whitening(...) before saving."
            )
        for name, tensor in sae.state_dict().items():
            if not all(math.isfinite(end) for end in ends(tensor)):
                raise NotFiniteError(f"the SAE at {site} has NaN or infinite values in {name}; its file is damaged.")
        for name, part in (("W_enc", "encoder"), ("W_dec", "decoder")):
            weights = getattr(sae, name, None)
            wanted = (sae.cfg.d_sae, sae.cfg.d_in)
            if weights is not None and sorted(weights.shape) != sorted(wanted):
                # tables of latents are laid out by the configuration, so a wrong one would write beyond them
                raise FileFormatError(
                    f"the SAE at {site} has a {part} of {tuple(weights.shape)}, but its configuration says {wanted[0]} latents of "
                    f"{wanted[1]} dimensions; its files do not belong together."
                )
            if weights is not None and not any(ends(weights)):
                raise EmotionInterpError(
                    f"the {part} of the SAE at {site} is all zeros: it reads nothing of its input. Its file was written "
                    "wrongly; load or train it again."
                )
        return sae

    @property
    def sae(self) -> Any:
        """The SAELens SAE."""
        return self._sae

    def weights_dtype(self) -> str:
        """The dtype of the SAE's weights, "float32" for example."""
        return str(self.sae.dtype).removeprefix("torch.")

    @property
    def d_in(self) -> int:
        return int(self.config.d_in)

    @property
    def d_sae(self) -> int:
        return int(self.config.d_sae)

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Latent activations: [token, d_in] -> [token, d_sae]."""
        sae = self.sae
        encoding = _Encoding(self, sae, activations)
        with lock_of(sae), surely(encoding), encoding:
            return sae.encode(encoding.x)

    def encode_columns(self, activations: torch.Tensor, features: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Activations of some latents only: [token, d_in] -> [token, feature]; equal to `encode(x)[:, features]`.

        Exact where a latent's activation depends on no other latent: SAELens' own StandardSAE, JumpReLUSAE and GatedSAE.

        Args:
            activations: [token, d_in].
            features: ids of the latents, in any order.

        Raises:
            UnsupportedError: an SAE whose latents compete (top-k), or a class derived from one of the three, whose
                encoder may be another.
            UnknownNameError: a latent that the SAE does not have.

        Example:
            >>> reader.encode_columns(activations, [17, 230])  # doctest: +SKIP
        """
        import torch

        sae = self.sae
        kind = sliced_as(sae)
        if not kind:
            raise UnsupportedError(
                f"a {type(sae).__name__} cannot be encoded in part: whether one latent is active may depend on the others. "
                "Use encode(activations)[:, features]."
            )
        columns = torch.as_tensor(features, dtype=torch.long).reshape(-1)
        if len(columns) and not (int(columns.min()) >= 0 and int(columns.max()) < self.d_sae):
            wrong = next(f for f in columns.tolist() if not 0 <= f < self.d_sae)
            raise UnknownNameError(f"feature of the SAE at {self.site}", wrong, range(self.d_sae))
        columns = columns.to(sae.device)
        encoding = _Encoding(self, sae, activations)
        with lock_of(sae), surely(encoding), encoding:
            encoder = sae.W_enc
            x, weights = sae.process_sae_in(encoding.x), encoder[:, columns]
            if kind == "gated":
                gate = (x @ weights + sae.b_gate[columns] > 0).to(x.dtype)
                size = sae.activation_fn(x @ (weights * sae.r_mag[columns].exp()) + sae.b_mag[columns])
                return gate * size
            bias = sae.b_enc
            before = x @ weights + bias[columns]
            latents = sae.activation_fn(before)
            if kind != "jumprelu":
                return latents
            threshold = sae.threshold
            return latents * (before > threshold[columns]).to(x.dtype)

    def decoder_rows(self, features: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Decoder rows of some latents, in residual-stream units: [feature, d_in]."""
        import torch

        return self.sae.W_dec.detach()[torch.as_tensor(list(features), dtype=torch.long)]

    def provenance(self) -> dict[str, object]:
        """What decides the numbers: release, id, hook, architecture, transform."""
        metadata = self.config.metadata
        names = ("sae_release", "sae_id", "model_name", "neuronpedia_id", "hook_name", "context_size", "prepend_bos")
        known = {k: metadata[k] for k in names if k in metadata}
        dtype = self.weights_dtype()
        return {
            **{k: str(v) for k, v in known.items() if v is not None},
            # what is rounded may be above a threshold or below it
            **({} if dtype == "float32" else {"dtype": dtype}),
            "site": str(self.site),
            "architecture": self.architecture,
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "input_transform": "centre" if self.centred else "none",
            "normalize_activations": str(self.config.normalize_activations),
            "signature": [round(value, 5) for value in self.signature()],
            "encoder": {name: [float(f"{v:.5g}") for v in values] for name, values in self.encoder_signature().items()},
        }

    def signature(self) -> list[float]:
        """A few projections of decoder rows, by which an SAE is known again in any precision.

        Cosines of eight rows, spread over the dictionary, with one fixed vector.
        """
        return signature_of(self.sae)

    def encoder_signature(self) -> dict[str, list[float]]:
        """As `signature` of what encodes: by parameter, projections of eight columns, or eight of the values."""
        return encoder_signature_of(self.sae)


class _Encoding(no_gradients):
    """The SAE's input, without gradients; afterwards the SAE, which keeps state while it encodes, is as it was."""

    x: torch.Tensor

    def __init__(self, reader: SaeReader, sae: Any, activations: torch.Tensor) -> None:
        super().__init__()
        self.reader, self.sae, self.activations = reader, sae, activations

    def start(self) -> None:
        super().start()
        sae = self.sae
        # an SAE of z has no d_head before it has seen an input
        shape = (sae.reshape_fn_in, getattr(sae, "d_head", None))
        self.later(lambda: _forget(sae, shape))
        x = self.activations.to(sae.device, sae.dtype)
        if sae.dtype.itemsize == 2 and not bool(x.isfinite().all()):
            raise NotFiniteError(
                f"activations at {self.reader.site} overflow the SAE's {str(sae.dtype).removeprefix('torch.')}; load it with "
                "sae_dtype='bfloat16' or 'float32'."
            )
        if self.reader.centred:
            # trained on a model with centred writing weights: the raw stream differs by its mean only
            x = x - x.mean(-1, keepdim=True)
        # such an SAE flattens [head, d_head] itself; flat activations are one head
        self.x = x.unsqueeze(-2) if sae.hook_z_reshaping_mode else x


def _forget(sae: Any, shape: tuple[int, int | None]) -> None:
    """Leave no state behind of what layer_norm, constant_norm and z SAEs keep between encode and decode."""
    sae.reshape_fn_in, sae.d_head = shape
    for name in ("ln_mu", "ln_std", "x_norm_coeff"):
        if hasattr(sae, name):
            delattr(sae, name)


def _refuse_architecture(name: str) -> None:
    for word, reason in REFUSED.items():
        if name not in ENCODABLE and word in name.lower():
            raise UnsupportedError(f"the architecture {name!r} cannot be read here: {reason}")


def _was_centred(metadata: SaeFacts) -> bool:
    """Whether the SAE was trained on a model whose writing weights were centred."""
    if "model_from_pretrained_kwargs" not in metadata or not metadata.model_from_pretrained_kwargs:
        return False
    options = metadata.model_from_pretrained_kwargs
    centred = options.get("center_writing_weights", False) if isinstance(options, dict) else None
    if not isinstance(centred, bool):
        raise FileFormatError(
            f"the SAE's metadata has model_from_pretrained_kwargs={options!r}; these are options by name, and "
            "center_writing_weights is true or false."
        )
    return centred
