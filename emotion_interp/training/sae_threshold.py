"""Set the thresholds of trained SAEs so that no kind of text fires more latents than wanted.

One k for all text leaves some kinds denser than others: a rare word at the end of a carrier fires more latents than a
token in the middle of a story. Raising all thresholds of an SAE by one factor makes the densest kind as sparse as wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import atomic_folder, read_json, write_json
from emotion_interp.core.types import Site
from emotion_interp.subjects.subject import Subject
from emotion_interp.training.sae_activations import read_windows, sink_limits, text_windows, without_sinks
from emotion_interp.training.sae_quality import last_token_activations
from emotion_interp.training.sae_report import SaeTrainingResult, layer_folder, load_quietly, mean_l0

if TYPE_CHECKING:
    import torch

_HALVINGS = 14
"""Of the interval in which the factor lies: to a ten-thousandth of it."""


def limit_l0(
    subject: Subject,
    folder: str | Path,
    texts: Mapping[str, Sequence[str]],
    *,
    words: Sequence[str] = (),
    most: float = 62.0,
    tokens: int = 6000,
    context: int = 128,
) -> dict[int, float]:
    """Multiply the thresholds of each SAE by one factor, so that no kind of text fires more than `most` latents per token.

    Args:
        subject: the model that the SAEs were trained on.
        folder: what `train_saes` wrote; the SAEs that are denser than `most` are written anew.
        texts: texts by kind, none of which figures are measured on afterwards.
        words: names of the kinds whose last token alone counts (words at the end of a carrier).
        most: L0.
        tokens: read of each kind.
        context: tokens per window of text.

    Returns:
        the factor of each layer; 1 where nothing had to change.

    Raises:
        EmotionInterpError: no texts of a kind, `most` not positive, an unknown name in `words`.
        FileFormatError: no finished training in `folder`.
    """
    folder = Path(folder)
    if not most > 0:
        raise EmotionInterpError(f"most is a positive number of latents, got {most!r}.")
    if unknown := [name for name in words if name not in texts]:
        raise EmotionInterpError(f"words names {unknown[0]!r}, which is none of {', '.join(texts)}.")
    if empty := [name for name, some in texts.items() if not some]:
        raise EmotionInterpError(f"there are no texts of the kind {empty[0]!r}.")
    layers = [row.layer for row in SaeTrainingResult.load(folder).figures]
    sites = [Site(layer) for layer in layers]
    parts: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    limits: dict[Site, float] = {}
    # texts first: what counts as a sink is learnt from running text
    for name in sorted(texts, key=lambda kind: kind in words):
        if name in words:
            read = last_token_activations(subject, texts[name][: tokens // 4], sites)
        else:
            read = read_windows(subject, text_windows(subject, texts[name], context, tokens), sites)
        limits = limits or sink_limits(read)
        for site, values in without_sinks(read, limits).items():
            parts[site].append(values)
    return {site.layer: _limited(subject, layer_folder(folder, site.layer), parts[site], most) for site in sites}


def _limited(subject: Subject, folder: Path, kinds: Sequence[torch.Tensor], most: float) -> float:
    sae = load_quietly(folder, str(subject.device))
    parameter = sae.get_parameter("threshold")
    threshold = parameter.detach().clone()

    def densest(factor: float) -> float:
        parameter.data = threshold * factor
        return max(mean_l0(sae, values) for values in kinds)

    if densest(1.0) <= most:
        return 1.0
    low, high = 1.0, 2.0
    while densest(high) > most:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if densest(middle) > most else (low, middle)
    _write(folder, high, most)
    return high


def _write(folder: Path, factor: float, most: float) -> None:
    weights = folder / "sae_weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    tensors["threshold"] = (tensors["threshold"].float() * factor).to(tensors["threshold"].dtype)
    record = read_json(folder / "cfg.json")
    record["metadata"]["threshold"] = (
        f"{factor:.4f} times the trained one: at most {most:g} latents on any kind of text"
    )
    with atomic_folder(folder) as temporary:
        save_file(tensors, temporary / weights.name)
        (temporary / weights.name).chmod(weights.stat().st_mode)
        write_json(temporary / "cfg.json", record)
