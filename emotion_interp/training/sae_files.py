"""Files of an SAE training: checkpoints (safetensors and JSON, no pickle) and the SAE in its inference form."""

from __future__ import annotations

import copy
import hashlib
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import (
    atomic_folder,
    read_json,
    read_signed_json,
    sha256_file,
    sha256_of,
    write_json,
    write_signed_json,
)
from emotion_interp.core.leftovers import found_folder
from emotion_interp.core.types import Site
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.wrapping import is_centred
from emotion_interp.training.sae_activations import Cursor, InputScaling
from emotion_interp.training.sae_report import load_quietly, mean_l0, threshold_for

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer


CHECKPOINT = "checkpoint"
L0_TOLERANCE = 1 / 6
"""Share of k by which L0 may be off on the calibration texts before the threshold is set anew."""


def model_digest(subject: Subject) -> str:
    """A short identity of the weights: shapes and a thousand values of each tensor, so that it costs nothing on large models."""
    digest = hashlib.sha256(sha256_of([subject.name, subject.backend, subject.n_layers, subject.d_model]).encode())
    for name, parameter in subject.model.named_parameters():
        values = parameter.detach().flatten()
        sample = values[:: max(1, values.numel() // 1000)].float().cpu().numpy()
        digest.update(f"{name}{tuple(parameter.shape)}".encode() + sample.tobytes())
    return digest.hexdigest()


def save_checkpoint(
    out: Path, identity: str, trainers: Mapping[Site, SAETrainer], cursor: Cursor, seconds: float
) -> None:
    """Write everything that the rest of the run depends on, atomically."""
    tensors: dict[str, torch.Tensor] = {}
    for site, trainer in trainers.items():
        prefix = f"{site.layer}."
        for name, tensor in trainer.sae.state_dict().items():
            tensors[f"{prefix}sae.{name}"] = tensor.detach().contiguous()
        for index, state in trainer.optimizer.state_dict()["state"].items():
            for name, tensor in state.items():
                tensors[f"{prefix}adam.{index}.{name}"] = torch.as_tensor(tensor).contiguous()
        tensors[f"{prefix}silent_steps"] = trainer.n_forward_passes_since_fired
    step = next(iter(trainers.values())).n_training_steps
    with atomic_folder(out / CHECKPOINT) as folder:
        save_file(tensors, folder / "state.safetensors")
        state = {"identity": identity, "step": step, "cursor": asdict(cursor), "seconds": seconds}
        state["sha256"] = sha256_file(folder / "state.safetensors")
        write_signed_json(folder / "state.json", state)


def load_checkpoint(out: Path, identity: str, trainers: Mapping[Site, Any]) -> tuple[Cursor, float] | None:
    """Put the trainers back where a killed run was: cursor and seconds so far, or None if there is no checkpoint.

    Raises:
        EmotionInterpError: the checkpoint belongs to another run.
        FileFormatError: it is damaged.
    """
    folder = found_folder(out / CHECKPOINT)
    if not folder.exists():
        return None
    record, _ = read_signed_json(folder / "state.json")
    try:
        # checkpoints of before this was noted are taken on trust
        if record.get("sha256", digest := sha256_file(folder / "state.safetensors")) != digest:
            raise FileFormatError(f"{folder} is a damaged checkpoint (its SHA-256 differs); delete it to start again.")
        if record["identity"] != identity:
            raise EmotionInterpError(
                f"{folder} belongs to a run of another recipe, model or text; choose another folder, or delete this one."
            )
        tensors = load_file(folder / "state.safetensors")
        for site, trainer in trainers.items():
            prefix = f"{site.layer}."
            mine = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            trainer.sae.load_state_dict({n.removeprefix("sae."): t for n, t in mine.items() if n.startswith("sae.")})
            with warnings.catch_warnings():
                # the schedule is replayed without optimizer steps, and torch warns about just that
                warnings.simplefilter("ignore")
                for _ in range(record["step"]):
                    trainer.lr_scheduler.step()
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, tensor in mine.items():
                if name.startswith("adam."):
                    _, index, key = name.split(".")
                    state.setdefault(int(index), {})[key] = tensor
            groups = trainer.optimizer.state_dict()["param_groups"]
            trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
            trainer.n_forward_passes_since_fired = mine["silent_steps"].to(trainer.cfg.device)
            trainer.n_training_steps = int(record["step"])
            trainer.n_training_samples = int(record["step"]) * trainer.cfg.train_batch_size_samples
        return Cursor(**record["cursor"]), float(record["seconds"])
    except (OSError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise FileFormatError(f"{folder} is a damaged checkpoint ({error}); delete it to start again.") from error


def remove_checkpoint(out: Path) -> None:
    """Delete the checkpoint of a finished run."""
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)


def save_sae(
    subject: Subject,
    site: Site,
    trainer: SAETrainer,
    calibration: torch.Tensor,
    k: float,
    folder: Path,
    scaling: InputScaling = InputScaling(),
) -> bool:
    """Fold the activation norm and the input's scaling, convert to JumpReLU, halve the precision and write one folder, atomically.

    Returns whether the threshold was set anew on the calibration activations [token, d_model], because the one learnt in
    training left an L0 more than `L0_TOLERANCE` off k.
    """
    sae = copy.deepcopy(trainer.sae)
    # without folding, the factor would be lost: inference SAEs do nothing about expected_average_only_in
    sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    metadata = {"model_name": subject.name, "hook_name": site.hook_name, "prepend_bos": subject.prepends_bos}
    if subject.backend == "hooked" and is_centred(subject.model):
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    with atomic_folder(folder) as temporary:
        weights, config = sae.save_inference_model(temporary)
        record = read_json(config)
        record["device"] = "cpu"
        record["metadata"] = {**record["metadata"], **metadata, "weights_dtype": "float16"}
        write_json(config, record)
        if scaling.mean is not None:
            record["metadata"]["standardized_input"] = "per coordinate, folded into the weights"
            write_json(config, record)
        # copies: what load_file gives is the file itself, which is written over below
        trained = {name: tensor.clone() for name, tensor in load_file(weights).items()}
        tensors = scaling.fold(trained, bool(record["apply_b_dec_to_input"]))
        halves = {name: tensor.half() for name, tensor in tensors.items()}
        if not all(bool(tensor.isfinite().all()) for tensor in halves.values()):
            # a stream beyond 65,504 does not fit in half precision
            halves = tensors
            record["metadata"]["weights_dtype"] = "float32"
            write_json(config, record)
        save_file(halves, weights)
        inference = load_quietly(temporary, str(subject.device))
        recalibrated = abs(mean_l0(inference, calibration) - k) > L0_TOLERANCE * k
        if recalibrated:
            # latents of rescaled decoder rows keep their relative thresholds
            units = tensors["threshold"] / tensors["threshold"].max().clamp_min(1e-12)
            units = torch.ones_like(units) if scaling.mean is None or not bool((units > 0).all()) else units
            threshold = threshold_for(inference, calibration, k, units)
            halves["threshold"] = (threshold * units).to(halves["threshold"].dtype)
            save_file(halves, weights)
            record["metadata"]["threshold"] = "set on calibration texts"
            write_json(config, record)
        # safetensors makes its files private
        weights.chmod(config.stat().st_mode)
    return recalibrated
