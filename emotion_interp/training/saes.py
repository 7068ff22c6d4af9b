"""Train SAEs for any subject: one BatchTopK SAE for each layer on `hook_resid_post`, all from one forward pass.

Method: BatchTopK (Bussmann, Leask & Nanda 2024) as SAELens trains it, saved as JumpReLU in half precision.
What makes a short run succeed, on layer 5 of a TinyStories model after 240 steps (explained variance / silent latents):
latents count as dead after 20 steps, not SAELens' thousand, which is longer than the run, so that the auxiliary loss would
never wake (.79 / 7%; after 60 steps .79 / 18%); the decoder bias starts at the mean and the norm is measured around it
(without: .76 / 49% after 60 steps); a rate of 4e-3 (.86 / 0.3%; 1e-3: .79 / 7%). BOS and attention sinks never enter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from emotion_interp.core.arguments import check_fields, checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import read_json, sha256_of, write_signed_json
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_kinds import need_sae_lens
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText
from emotion_interp.training.sae_activations import (
    ActivationBlocks,
    Cursor,
    InputScaling,
    TextSplit,
    block_size,
    read_windows,
    readable_tokens,
    sink_limits,
    split_texts,
    without_sinks,
)
from emotion_interp.training.sae_files import (
    load_checkpoint,
    model_digest,
    remove_checkpoint,
    save_checkpoint,
    save_sae,
)
from emotion_interp.training.sae_report import (
    FORMAT,
    TRAINING_FILE,
    HeldOutSums,
    SaeFigures,
    SaeTrainingResult,
    layer_folder,
    load_quietly,
)

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer


_LONGEST_CONTEXT = 512


@dataclass(frozen=True)
class SaeRecipe:
    """Everything that decides the trained SAEs; saved beside them in `training.json`.

    expansion: latents as a multiple of the model's width; d_sae: their number, overriding `expansion`.
    k: active latents per token, on average. tokens, batch_tokens: trained on in all, and per step.
    lr: peak rate; a short warm-up, then linear decay to zero over the last `decay` share.
    dead_feature_window: steps of silence after which the auxiliary loss takes a latent up.
    context: tokens per window of text (default: the subject's, at most 512). layers: default all.
    bf16: autocast the SAE's matrix products; default: on a GPU that has it. Faster on CPUs with AVX512-BF16, slow on others.
    standardize: train on coordinates of mean 0 and deviation 1, folded into the weights afterwards. For streams in which
        a few coordinates hold most of the variance (Gemma): without it an SAE explains those and little else.
    """

    expansion: int = 4
    d_sae: int | None = None
    k: float = 24
    tokens: int = 1_000_000
    batch_tokens: int = 1024
    lr: float = 4e-3
    decay: float = 0.5
    dead_feature_window: int = 20
    context: int | None = None
    layers: tuple[int, ...] | None = None
    seed: int = 0
    bf16: bool | None = None
    standardize: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))
        for name in ("expansion", "d_sae", "k", "tokens", "batch_tokens", "lr", "dead_feature_window"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise EmotionInterpError(f"{name} is a positive number, got {value!r}.")
        if not 0 < self.decay < 1:
            raise EmotionInterpError(f"decay is a share between 0 and 1, got {self.decay!r}.")
        if self.context is not None and self.context < 2:
            raise EmotionInterpError(f"context is at least 2 tokens, got {self.context!r}.")
        if self.tokens < self.batch_tokens:
            raise EmotionInterpError(f"tokens ({self.tokens}) are fewer than one batch ({self.batch_tokens}).")

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_tokens

    def latents(self, d_model: int) -> int:
        """Latents of each SAE of a model of this width."""
        return self.d_sae or self.expansion * d_model


# Long: what a run needs is made once and given to one loop that can be cut off anywhere.
@checked
def train_saes(
    subject: Subject,
    texts: Sequence[str] | Iterable[str],
    out: str | Path,
    recipe: SaeRecipe = SaeRecipe(),
    *,
    held_out: Iterable[str] | None = None,
    report: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    checkpoint_minutes: float = 3.0,
) -> SaeTrainingResult:
    """Train one SAE for each layer of a subject, all layers from one pass; run again to resume, or to get a finished result.

    Writes `out/layer_<i>` (SAELens' inference format, JumpReLU, half precision: `load_subject(..., saes=out)` reads it) and
    `out/training.json`. Where the threshold learnt in training leaves an L0 more than a sixth off k, it is set anew on texts
    that are neither trained nor measured on; `recalibrated` in the figures says so.

    Args:
        subject: any model, with or without SAEs; it comes back unchanged.
        texts: training texts. They are read in windows; a text that occurs twice counts once.
        out: working folder.
        recipe: sizes, rates, seed.
        held_out: texts to measure on; default: up to a tenth of `texts`, set aside.
        report: receives one line of text per event.
        progress: receives (tokens done, tokens in all).
        checkpoint_minutes: minutes between checkpoints.

    Raises:
        EmotionInterpError: too little text, or `out` holds a run of another recipe, model or text.
        UnknownNameError: the model has no such layer.
        NotFiniteError: NaN or infinite activations.

    Example:
        >>> train_saes(subject, texts, "runs/saes", SaeRecipe(tokens=500_000)).to_frame()  # doctest: +SKIP
    """
    say = report or (lambda line: None)
    tell = progress or (lambda done, total: None)
    out = Path(out)
    layers = range(subject.n_layers) if recipe.layers is None else recipe.layers
    for layer in layers:
        if layer not in range(subject.n_layers):
            raise UnknownNameError("layer", layer, range(subject.n_layers))
    if recipe.k >= recipe.latents(subject.d_model):
        raise EmotionInterpError(f"k={recipe.k} of {recipe.latents(subject.d_model)} latents is not sparse; lower k.")
    train_texts = list(dict.fromkeys(text for text in texts if text.strip()))
    test_texts = None if held_out is None else list(dict.fromkeys(text for text in held_out if text.strip()))
    if recipe.bf16 is None:
        recipe = replace(recipe, bf16=_has_bf16(subject.device))
    record = asdict(recipe)
    if not recipe.standardize:
        # runs from before this choice existed can still be resumed
        del record["standardize"]
    run = {
        "recipe": {**record, "layers": list(layers)},
        "model": model_digest(subject),
        "texts": sha256_of(train_texts),
        "held_out": sha256_of(test_texts),
    }
    identity = sha256_of(run)
    if (out / TRAINING_FILE).exists():
        result = SaeTrainingResult.load(out)
        _same_run(out, out / TRAINING_FILE, identity)
        say(f"{out} is finished already")
        return result

    need_sae_lens("training SAEs")
    sites = [Site(layer) for layer in layers]
    subject.check_sites(sites)
    context = min(recipe.context or _LONGEST_CONTEXT, subject.context)
    room = block_size(subject, len(sites), recipe.batch_tokens)
    split = split_texts(
        subject, train_texts, test_texts, context=context, tokens=recipe.tokens, room=room, seed=recipe.seed
    )
    if readable_tokens(split.train) < recipe.tokens:
        passes = recipe.tokens / max(1, readable_tokens(split.train))
        say(f"{readable_tokens(split.train):,} tokens of text: they are read {passes:.1f} times")
    calibration = read_windows(subject, split.calibration, sites)
    limits = sink_limits(calibration)
    calibration = without_sinks(calibration, limits)
    blocks = ActivationBlocks(subject, split.train, sites, limits, recipe.batch_tokens, recipe.seed)
    scaling = {site: InputScaling.of(calibration[site], recipe.standardize) for site in sites}
    trainers = {site: _trainer(subject, site, scaling[site](calibration[site]), recipe) for site in sites}
    cursor, seconds = Cursor(), 0.0
    if (state := load_checkpoint(out, identity, trainers)) is not None:
        cursor, seconds = state
        say(f"resumed at {_step(trainers) * recipe.batch_tokens:,} tokens")
    began = last_save = time.monotonic()

    while (step := _step(trainers)) < recipe.steps:
        block_began = time.monotonic()
        activations, batches, following = blocks.block(cursor)
        for rows in batches[: recipe.steps - step]:
            for site, trainer in trainers.items():
                output = trainer.step(scaling[site](activations[site][rows]))
                trainer.n_training_steps += 1
            tell(_step(trainers) * recipe.batch_tokens, recipe.steps * recipe.batch_tokens)
        cursor, now = following, time.monotonic()
        loss = float(output.loss.detach())
        if not abs(loss) < float("inf"):
            raise EmotionInterpError(f"the loss is {loss} at step {_step(trainers)}; lower the learning rate.")
        done = _step(trainers)
        speed = (done - step) * recipe.batch_tokens / (now - block_began)
        if now - last_save > checkpoint_minutes * 60 or (done == recipe.steps and now - began > 60):
            last_save = now
            save_checkpoint(out, identity, trainers, cursor, seconds + now - began)
        dead = sum(int(t.dead_neurons.sum()) for t in trainers.values()) / sum(
            t.sae.cfg.d_sae for t in trainers.values()
        )
        say(f"step {done}/{recipe.steps} loss {loss:.3f} (last layer) dead {dead:.1%} {speed:,.0f} tokens/s")
    seconds += time.monotonic() - began
    return _finish(subject, out, recipe, identity, run, trainers, scaling, calibration, limits, split, seconds)


def _trainer(subject: Subject, site: Site, sample: torch.Tensor, recipe: SaeRecipe) -> SAETrainer:
    """SAELens' trainer of one SAE, with the activation norm and the decoder bias set from a sample."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    device = str(subject.device)
    # SAELens' schedule divides by warm-up steps minus one and refuses a decay of the whole run
    warm_up, decay = (round(0.02 * recipe.steps), round(recipe.decay * recipe.steps)) if recipe.steps >= 100 else (0, 0)
    config = SAETrainerConfig(
        total_training_samples=recipe.steps * recipe.batch_tokens,
        train_batch_size_samples=recipe.batch_tokens,
        lr=recipe.lr,
        lr_end=recipe.lr,
        lr_warm_up_steps=warm_up,
        lr_decay_steps=decay,
        device=device,
        autocast=bool(recipe.bf16),
        dead_feature_window=recipe.dead_feature_window,
        # the trainer's own firing statistics are not used; a window would end in drawing a wandb histogram
        feature_sampling_window=recipe.steps + 1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(recipe.seed, "sae", site.layer).integers(2**31)))
        sae = BatchTopKTrainingSAE(
            BatchTopKTrainingSAEConfig(
                d_in=subject.d_model,
                d_sae=recipe.latents(subject.d_model),
                k=recipe.k,
                normalize_activations="expected_average_only_in",
                device=device,
            )
        )
    trainer = SAETrainer(config, sae, iter(()))
    mean = sample.mean(0)
    # SAELens' factor, measured around the mean: a stream with a large constant part would shrink what varies
    factor = subject.d_model**0.5 / float((sample - mean).norm(dim=1).mean())
    trainer.activation_scaler.scaling_factor = factor
    with torch.no_grad():
        sae.b_dec.copy_(mean * factor)
    return trainer


def _has_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def _step(trainers: Mapping[Site, SAETrainer]) -> int:
    return next(iter(trainers.values())).n_training_steps


def _same_run(out: Path, file: Path, identity: str) -> None:
    if read_json(file).get("identity") != identity:
        raise EmotionInterpError(
            f"{out} holds SAEs of another recipe, model or text; choose another folder, or delete this one to train again."
        )


def _finish(
    subject: Subject,
    out: Path,
    recipe: SaeRecipe,
    identity: str,
    run: dict[str, object],
    trainers: Mapping[Site, SAETrainer],
    scaling: dict[Site, InputScaling],
    calibration: dict[Site, torch.Tensor],
    limits: dict[Site, float],
    split: TextSplit,
    seconds: float,
) -> SaeTrainingResult:
    """Fold, convert, save and measure every SAE; `training.json` comes last and marks the run as finished."""
    recalibrated = {}
    sums = {}
    for site, trainer in trainers.items():
        folder = layer_folder(out, site.layer)
        recalibrated[site] = save_sae(subject, site, trainer, calibration[site], recipe.k, folder, scaling[site])
        sums[site] = HeldOutSums(load_quietly(folder, str(subject.device)), calibration[site].mean(0))
    # in parts: the held-out activations of all layers together may not fit in memory
    part: list[TokenizedText] = []
    room = block_size(subject, len(trainers), recipe.batch_tokens)
    for i, window in enumerate(split.held_out):
        part.append(window)
        if readable_tokens(part) >= room or i + 1 == len(split.held_out):
            for site, activations in read_windows(subject, part, list(trainers), limits).items():
                sums[site].add(activations)
            part = []
    figures = tuple(
        SaeFigures(
            layer=site.layer,
            d_sae=trainer.sae.cfg.d_sae,
            k=recipe.k,
            tokens=recipe.steps * recipe.batch_tokens,
            seconds=round(seconds, 1),
            recalibrated=recalibrated[site],
            **sums[site].figures(),
        )
        for site, trainer in trainers.items()
    )
    record = {
        "format": FORMAT,
        "identity": identity,
        "model_name": subject.name,
        **run,
        "figures": [asdict(row) for row in figures],
        "training_tokens_of_text": readable_tokens(split.train),
        "versions": {name: version(name) for name in ("sae-lens", "transformer-lens", "torch", "transformers")},
    }
    write_signed_json(out / TRAINING_FILE, record)
    remove_checkpoint(out)
    return SaeTrainingResult.load(out)
