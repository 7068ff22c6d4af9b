"""One SAELens SAE, read exactly: input transform, refusal of what cannot be read, partial encoding."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnsupportedError
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import torch

ENCODABLE = ("standard", "jumprelu", "gated", "topk", "abstopk")
"""Architectures (SAELens' names) whose encoder reads one token on its own at inference."""


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

    def __init__(self, sae: Any, site: Site | None = None, norm_factor: float | None = None) -> None:
        from sae_lens import SAE, TrainingSAE

        if isinstance(sae, TrainingSAE):
            raise UnsupportedError(
                f"{type(sae).__name__} is a training SAE: what it encodes depends on the batch. "
                "Save it with save_inference_model(...) and load that folder."
            )
        if not isinstance(sae, SAE):
            raise UnsupportedError(f"expected a SAELens SAE, got {type(sae).__name__}.")
        architecture = sae.cfg.architecture()
        if architecture not in ENCODABLE:
            raise UnsupportedError(
                f"the architecture {architecture!r} cannot be read here. Readable: {', '.join(ENCODABLE)}."
            )
        metadata = sae.cfg.metadata
        if site is None:
            # SAEMetadata answers None to any misspelt key, so ask for the key first
            if "hook_name" not in metadata or not metadata.hook_name:
                raise EmotionInterpError("the SAE's metadata has no hook_name; pass site=Site(layer, kind).")
            site = Site.parse(metadata.hook_name)
        if sae.cfg.normalize_activations == "expected_average_only_in":
            if norm_factor is None:
                raise UnsupportedError(
                    f"the SAE at {site} expects inputs scaled by 'expected_average_only_in', and its factor was not "
                    "folded when it was saved. Give norm_factor=..., or fold it before saving."
                )
            sae = copy.deepcopy(sae)
            sae.fold_activation_norm_scaling_factor(norm_factor)
        for name, tensor in sae.state_dict().items():
            if not bool(tensor.isfinite().all()):
                raise NotFiniteError(f"the SAE at {site} has NaN or infinite values in {name}; its file is damaged.")
        self.sae = sae
        self.site = site
        self.architecture = architecture
        self.centred = _was_centred(metadata)

    @property
    def d_in(self) -> int:
        return int(self.sae.cfg.d_in)

    @property
    def d_sae(self) -> int:
        return int(self.sae.cfg.d_sae)

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Latent activations: [token, d_in] -> [token, d_sae]."""
        import torch

        with torch.no_grad():
            x = activations.to(self.sae.device, self.sae.dtype)
            if self.centred:
                # trained on a model with centred writing weights: the raw stream differs by its mean only
                x = x - x.mean(-1, keepdim=True)
            latents = self.sae.encode(x)
            # layer_norm and constant_norm SAEs keep state between encode and decode: leave none behind
            for name in ("ln_mu", "ln_std", "x_norm_coeff"):
                if hasattr(self.sae, name):
                    delattr(self.sae, name)
        return latents

    def decoder_rows(self, features: Any) -> torch.Tensor:
        """Decoder rows of some latents, in residual-stream units: [feature, d_in]."""
        import torch

        return self.sae.W_dec.detach()[torch.as_tensor(list(features), dtype=torch.long)]

    def provenance(self) -> dict[str, Any]:
        """What decides the numbers: release, id, hook, architecture, transform."""
        metadata = self.sae.cfg.metadata
        known = {k: metadata[k] for k in ("model_name", "neuronpedia_id", "hook_name") if k in metadata}
        return {
            **{k: str(v) for k, v in known.items() if v is not None},
            "site": self.site.hook_name,
            "architecture": self.architecture,
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "input_transform": "centre" if self.centred else "none",
            "normalize_activations": str(self.sae.cfg.normalize_activations),
        }


def _was_centred(metadata: Any) -> bool:
    """Whether the SAE was trained on a model whose writing weights were centred."""
    if "model_from_pretrained_kwargs" not in metadata or not metadata.model_from_pretrained_kwargs:
        return False
    return bool(metadata.model_from_pretrained_kwargs.get("center_writing_weights", False))
