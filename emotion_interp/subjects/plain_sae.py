"""SAEs in SAELens' layout without SAELens, which holds TransformerLens below 4.

`PlainSae` encodes as SAELens' inference SAEs of the same architecture do, parameter by parameter under the same names, so
that what reads an SAE need not know which of the two it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import FileFormatError, UnsupportedError
from emotion_interp.core.files import read_json, write_json

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
PARAMETERS: dict[str, tuple[str, ...]] = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "threshold", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "abstopk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "gated": ("W_enc", "b_gate", "r_mag", "b_mag", "W_dec", "b_dec"),
}
"""What a file of each architecture holds, as SAELens names it."""
NORMS = ("none", "expected_average_only_in", "layer_norm", "constant_norm_rescale", "covariance_whitening")
_FACTS = (
    *("model_name", "hook_name", "model_class_name", "hook_head_index", "model_from_pretrained_kwargs", "prepend_bos"),
    *("exclude_special_tokens", "neuronpedia_id", "context_size", "seqpos_slice", "dataset_path", "sae_lens_version"),
    *("sae_lens_training_version", "hf_hook_name"),
)
"""Facts that configurations from before SAELens 6 keep among the others."""
_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}


class PlainMetadata:
    """Facts about an SAE: by attribute, None for those that it does not have; `in` says which it has."""

    def __init__(self, **facts: object) -> None:
        vars(self).update(facts)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __setitem__(self, name: str, value: object) -> None:
        vars(self)[name] = value

    def __getitem__(self, name: str) -> Any:
        return vars(self).get(name)

    def __contains__(self, name: object) -> bool:
        return name in vars(self)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def get(self, name: str, default: object = None) -> Any:
        """A fact, or the default."""
        return vars(self).get(name, default)

    def to_dict(self) -> dict[str, object]:
        """All facts."""
        return dict(vars(self))


@dataclass
class PlainConfig:
    """The settings of an SAE that decide what it encodes, with SAELens' names; `kind` is its architecture."""

    d_in: int
    d_sae: int
    kind: str = "standard"
    dtype: str = "float32"
    device: str = "cpu"
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    reshape_activations: str = "none"
    k: int = 100
    rescale_acts_by_decoder_norm: bool = False
    metadata: PlainMetadata = field(default_factory=PlainMetadata)

    def architecture(self) -> str:
        """SAELens' name of the architecture."""
        return self.kind

    def to_dict(self) -> dict[str, object]:
        """As a cfg.json has them."""
        # of another kind a k would be read as its sparsity
        left_out = ("kind", "metadata", *(() if "topk" in self.kind else ("k",)))
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return told | {"architecture": self.kind, "metadata": self.metadata.to_dict()}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> PlainConfig:
        """The settings that a cfg.json says, of any version of SAELens.

        Raises:
            UnsupportedError: an architecture, or a norm of activations, that is not read here.
            FileFormatError: it has no sizes.
        """
        settings = {_OLD_NAMES.get(name, name): value for name, value in told.items()}
        facts = settings.get("metadata")
        if facts is None:
            # before SAELens 6 all was in one place, and other things went without saying
            facts = {"prepend_bos": True} | {name: settings[name] for name in _FACTS if name in settings}
            settings = _modern(settings)
        kind = settings.get("architecture", "standard")
        if kind not in PARAMETERS:
            raise UnsupportedError(f"the architecture {kind!r} cannot be read here. Readable: {', '.join(PARAMETERS)}.")
        norm = settings.get("normalize_activations") or "none"
        if norm not in NORMS:
            raise UnsupportedError(f"the normalize_activations {norm!r} is not known. Known: {', '.join(NORMS)}.")
        try:
            sizes = {name: int(settings[name]) for name in ("d_in", "d_sae")}
        except (KeyError, TypeError, ValueError):
            raise FileFormatError("the configuration of an SAE has d_in and d_sae, whole numbers.") from None
        known = {f.name for f in fields(cls)} - {"metadata", "kind", *sizes}
        given: dict[str, Any] = {n: value for n, value in settings.items() if n in known and value is not None}
        given |= {**sizes, "kind": kind, "normalize_activations": norm, "metadata": PlainMetadata(**facts)}
        return cls(**given)


def _modern(settings: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(settings)
    arguments = made.get("activation_fn_kwargs") or {}
    if made.get("activation_fn") == "topk" and arguments.get("k") is not None:
        made |= {"architecture": "topk", "k": arguments["k"]}
    if isinstance(made.get("normalize_activations"), bool):
        made["normalize_activations"] = "expected_average_only_in" if made["normalize_activations"] else "none"
    if "reshape_activations" not in made:
        made["reshape_activations"] = "hook_z" if "hook_z" in str(made.get("hook_name", "")) else "none"
    return made


class PlainSae:
    """An SAE that encodes and decodes, and does nothing else.

    Args:
        cfg: its settings.
        tensors: by SAELens' names: W_enc [d_in, d_sae], W_dec [d_sae, d_in], biases, and what the architecture has besides.

    Raises:
        FileFormatError: a tensor is missing, spare, or of another shape than the settings say.
    """

    W_enc: torch.Tensor
    W_dec: torch.Tensor

    def __init__(self, cfg: PlainConfig, tensors: Mapping[str, torch.Tensor]) -> None:
        self.cfg = cfg
        names = PARAMETERS[cfg.kind]
        if set(names) != set(tensors):
            raise FileFormatError(f"a {cfg.kind} SAE has {', '.join(names)}; got {', '.join(sorted(tensors))}.")
        shapes = {"W_enc": (cfg.d_in, cfg.d_sae), "W_dec": (cfg.d_sae, cfg.d_in), "b_dec": (cfg.d_in,)}
        for name in names:
            wanted = shapes.get(name, (cfg.d_sae,))
            if tuple(tensors[name].shape) != wanted:
                raise FileFormatError(f"{name} is {tuple(tensors[name].shape)}; the configuration says {wanted}.")
            setattr(self, name, tensors[name])
        self.hook_z_reshaping_mode = cfg.reshape_activations == "hook_z"
        # what SAELens' SAEs keep while they encode flattened heads
        self.reshape_fn_in: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.d_head: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        return self.W_enc.dtype

    @property
    def device(self) -> torch.device:
        return self.W_enc.device

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Its tensors by name."""
        return {name: getattr(self, name) for name in PARAMETERS[self.cfg.kind]}

    def to(self, *place: Any, **places: Any) -> PlainSae:
        """Move and cast it, in place; arguments as of `torch.Tensor.to`."""
        for name, tensor in self.state_dict().items():
            setattr(self, name, tensor.to(*place, **places))
        self.cfg.device, self.cfg.dtype = str(self.device), str(self.dtype).removeprefix("torch.")
        return self

    def eval(self) -> PlainSae:
        """Itself: it is never in training."""
        return self

    def process_sae_in(self, x: torch.Tensor) -> torch.Tensor:
        """What meets the encoder: heads flattened, normalised as the settings say, without the decoder's bias if so."""
        x = x.to(self.dtype)
        if self.hook_z_reshaping_mode:
            x = x.flatten(-2)
        if self.cfg.normalize_activations == "layer_norm":
            x = x - x.mean(-1, keepdim=True)
            x = x / (x.std(-1, keepdim=True) + 1e-5)
        elif self.cfg.normalize_activations == "constant_norm_rescale":
            x = x * (self.cfg.d_in**0.5 / x.norm(dim=-1, keepdim=True))
        return x - self._parameter("b_dec") if self.cfg.apply_b_dec_to_input else x

    def activation_fn(self, before: torch.Tensor) -> torch.Tensor:
        """The activation function, without a threshold or gate."""
        if self.cfg.kind not in ("topk", "abstopk"):
            return before.relu()
        size = before if self.cfg.kind == "topk" else before.abs()
        largest = size.topk(self.cfg.k, dim=-1, sorted=False).indices
        values = before.gather(-1, largest)
        return before.new_zeros(before.shape).scatter_(
            -1, largest, values.relu() if self.cfg.kind == "topk" else values
        )

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents: [..., d_in] -> [..., d_sae]."""
        x = self.process_sae_in(x)
        if self.cfg.kind == "gated":
            gate = (x @ self.W_enc + self._parameter("b_gate") > 0).to(x.dtype)
            return gate * self.activation_fn(
                x @ (self.W_enc * self._parameter("r_mag").exp()) + self._parameter("b_mag")
            )
        before = x @ self.W_enc + self._parameter("b_enc")
        if self.cfg.rescale_acts_by_decoder_norm:
            before = before * self.W_dec.norm(dim=-1)
        latents = self.activation_fn(before)
        if self.cfg.kind == "jumprelu":
            return latents * (before > self._parameter("threshold")).to(x.dtype)
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The input as the SAE has it: [..., d_sae] -> [..., d_in], heads still flat.

        Raises:
            UnsupportedError: an SAE that normalises every input, whose norms an encoding does not keep.
        """
        if self.cfg.normalize_activations in ("layer_norm", "constant_norm_rescale"):
            raise UnsupportedError(
                f"an SAE with {self.cfg.normalize_activations} is read, not decoded, without SAELens."
            )
        if self.cfg.rescale_acts_by_decoder_norm:
            latents = latents / self.W_dec.norm(dim=-1)
        return latents @ self.W_dec + self._parameter("b_dec")

    def fold_activation_norm_scaling_factor(self, factor: float) -> None:
        """Take a factor of the input into the weights, in place."""
        self.W_enc = self.W_enc * factor
        self.W_dec = self.W_dec / factor
        self.b_dec = self._parameter("b_dec") / factor
        self.cfg.normalize_activations = "none"

    def fold_W_dec_norm(self) -> None:
        """Give latents in units of their decoder rows' lengths, in place: rows of length one afterwards."""
        lengths = self.W_dec.norm(dim=-1).clamp(min=1e-8)
        self.W_dec = self.W_dec / lengths[:, None]
        self.W_enc = self.W_enc * lengths
        for name in ("b_enc", "threshold", "b_gate", "b_mag"):
            if hasattr(self, name):
                setattr(self, name, self._parameter(name) * lengths)

    def save_model(self, folder: str | Path) -> None:
        """Write it in SAELens' layout."""
        from safetensors.torch import save_file

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, place / WEIGHTS)
        write_json(place / CONFIG, self.cfg.to_dict())

    def _parameter(self, name: str) -> torch.Tensor:
        return getattr(self, name)

    def __repr__(self) -> str:
        return f"PlainSae({self.cfg.kind}, {self.cfg.d_sae} latents of {self.cfg.d_in} dimensions)"


def plain_config(folder: Path, dtype: str | None = "float32", device: str = "cpu") -> PlainConfig:
    """The settings of an SAE in a folder of SAELens' layout.

    Raises:
        FileFormatError, UnsupportedError: as `PlainConfig.from_dict`.
    """
    told = read_json(folder / CONFIG)
    if not isinstance(told, dict):
        raise FileFormatError(f"{folder / CONFIG} holds no settings by name.")
    config = PlainConfig.from_dict(told)
    config.dtype, config.device = _dtype_name(dtype or config.dtype), device
    return config


def load_plain_sae(folder: str | Path, device: str = "cpu", dtype: str | None = "float32") -> PlainSae:
    """An SAE from a folder of SAELens' layout (cfg.json, sae_weights.safetensors), without SAELens.

    Args:
        folder: as `save_model` or `save_inference_model` write it.
        device: torch device.
        dtype: of the tensors; None: what the configuration says.

    Raises:
        FileFormatError: files are missing or do not belong together.
        UnsupportedError: an architecture that is not read here.

    Example:
        >>> load_plain_sae("saved_features/gemma-3-270m/saes/blocks.9.hook_resid_post")  # doctest: +SKIP
    """
    import torch
    from safetensors.torch import load_file

    config = plain_config(Path(folder), dtype, device)
    wanted: torch.dtype = getattr(torch, config.dtype)
    tensors = {name: tensor.to(wanted) for name, tensor in load_file(Path(folder) / WEIGHTS, device=device).items()}
    scaling = tensors.pop("scaling_factor", None)
    if scaling is not None and not torch.allclose(scaling, torch.ones_like(scaling)):
        raise UnsupportedError(f"the SAE in {folder} was finetuned with a scaling factor, which no encoder applies.")
    if config.kind == "jumprelu" and "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    return PlainSae(config, tensors)


def _dtype_name(name: str) -> str:
    """float32 and the like, of the spellings that configurations have.

    Raises:
        FileFormatError: no type of floating-point numbers.
    """
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16", "float": "float32"}
    plain = str(name).removeprefix("torch.")
    plain = short.get(plain, plain)
    if plain not in ("float32", "float16", "bfloat16", "float64"):
        raise FileFormatError(f"the dtype {name!r} of an SAE is none of float32, float16, bfloat16, float64.")
    return plain
