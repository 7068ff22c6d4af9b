"""Whether SAELens is there, and what kind of SAE an object is with and without it."""

from __future__ import annotations

from contextlib import suppress

from emotion_interp.core.errors import UnsupportedError
from emotion_interp.subjects.plain_sae import PlainSae


def sae_lens_is_here() -> bool:
    """Whether SAELens can be imported: installed, and made for this TransformerLens."""
    with suppress(ImportError):
        import sae_lens

        return bool(sae_lens.SAE)
    return False


def need_sae_lens(what: str) -> None:
    """Refuse what is SAELens' alone, where it is not there.

    Raises:
        UnsupportedError: it cannot be imported.
    """
    if not sae_lens_is_here():
        raise UnsupportedError(
            f"{what} needs SAELens, which cannot be imported here: it holds TransformerLens below 4. SAEs in folders are "
            "read without it; for the rest: pip install sae-lens 'transformer-lens<4'."
        )


def is_training_sae(sae: object) -> bool:
    """Whether it is SAELens' SAE in training, whose encoding depends on the batch."""
    if isinstance(sae, PlainSae) or not sae_lens_is_here():
        return False
    from sae_lens import TrainingSAE

    return isinstance(sae, TrainingSAE)


def is_inference_sae(sae: object) -> bool:
    """Whether it is one of SAELens', or a `PlainSae`."""
    if isinstance(sae, PlainSae) or not sae_lens_is_here():
        return isinstance(sae, PlainSae)
    from sae_lens import SAE

    return isinstance(sae, SAE)


def sliced_as(sae: object) -> str:
    """ "standard", "jumprelu" or "gated" where columns of the encoder may be read alone; "" where they may not.

    A class derived from SAELens' may have another encoder, so the exact type decides.
    """
    if isinstance(sae, PlainSae):
        return sae.cfg.kind if sae.cfg.kind in ("standard", "jumprelu", "gated") else ""
    if not sae_lens_is_here():
        return ""
    from sae_lens import GatedSAE, JumpReLUSAE, StandardSAE

    return {StandardSAE: "standard", JumpReLUSAE: "jumprelu", GatedSAE: "gated"}.get(type(sae), "")
