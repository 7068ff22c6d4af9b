"""What a sweep.toml may say: subjects, SAEs, stimuli, positions, seeds and analyses, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emotion_interp.study.settings import BASIC_EIGHT

_CONFIG = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

Analysis = Literal["features", "alignment", "ratings", "steering"]
Kind = Literal["words", "scenes"]
Engine = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Whole = Annotated[int, Field(ge=0, le=2**31 - 1)]
Workers = Annotated[int, Field(ge=1, le=4096)]
Names = Annotated[list[Name], Field(min_length=1)]
Layers = Annotated[list[Whole], Field(min_length=1)]
Position = Literal["last", "span", "text", "end"]


class _Table(BaseModel):
    model_config = _CONFIG


class SaeEntry(_Table):
    """SAEs of a release or folder, by width and sparsity where it has several of a layer."""

    release: Name
    width: str | None = Field(default=None, description="as SAE ids spell it, such as '16k'")
    sparsity: float | None = Field(default=None, gt=0, description="average L0; the nearest one of each layer is taken")
    layers: Layers | None = None


class SubjectEntry(_Table):
    """One model with its SAEs."""

    model: Name = Field(
        description="'bundled', a folder, a GGUF file, a short name such as 'gemma-3-270m', or a hub name"
    )
    name: str | None = Field(default=None, description="what tables call it; default: the model's name")
    saes: Name | Annotated[list[Name | SaeEntry], Field(min_length=1)] | SaeEntry | None = None
    layers: Layers | None = Field(default=None, description="layers of the SAEs; default: all")
    kinds: Names | None = Field(
        default=None, description="kinds of site, such as 'resid_post'; default: all with an SAE"
    )
    device: Name = "auto"
    dtype: str | None = None

    @property
    def called(self) -> str:
        """Its name in tables."""
        return self.name or self.model.rstrip("/").rsplit("/", 1)[-1]

    @property
    def sources(self) -> tuple[str | SaeEntry, ...]:
        """Its releases and folders of SAEs."""
        if self.saes is None:
            return ()
        return tuple(self.saes) if isinstance(self.saes, list) else (self.saes,)


class Reading(_Table):
    """How stimuli are read."""

    batch_tokens: Count = Field(default=2048, description="padded tokens of one forward pass")
    shard_kilobytes: Count = Field(
        default=64, description="text of one shard; a kill costs at most one shard of one subject"
    )
    prefixes: Literal["auto", "never"] = Field(
        default="auto", description="shared beginnings are run once where that pays"
    )


class Thresholds(_Table):
    """Thresholds of the features, as `Selection`."""

    max_q: float = Field(default=0.05, gt=0, le=1)
    min_coverage: float = Field(default=0.2, ge=0, le=1)
    min_specificity: float = Field(default=0.6, ge=0, le=1)
    max_features: Count = 16


class AlignmentChoices(_Table):
    """Of the emotion space against norms."""

    permutations: Count = 1000
    kinds: list[Literal["features", "dense"]] = Field(default=["features", "dense"], min_length=1)


class RatingChoices(_Table):
    """Of the predicted ratings."""

    max_words: Count | None = 4000


class SteeringGrid(_Table):
    """Of the steering test."""

    emotions: Names = list(BASIC_EIGHT)
    doses: list[float] = Field(default=[0.25, 0.5, 1.0, 1.5], min_length=1)
    methods: list[Literal["dense", "dense_clean", "sae"]] = Field(default=["dense", "dense_clean", "sae"], min_length=1)
    n_random: Count = 199
    new_tokens: Count = 24
    judge: Literal["words", "classifier"] = "words"


class EngineChoices(_Table):
    """Who does the work."""

    kind: Engine = "local"
    workers: Workers = 1
    threads: Workers = 1
    gpus: float = Field(default=0.0, ge=0, description="of each Ray worker")
    memory_gigabytes: float | None = Field(default=None, gt=0, description="asked for by each Ray worker")
    address: str | None = Field(
        default=None, description="of a Ray cluster: 'auto' or 'ray://HOST:10001'; default: a local one"
    )
    retries: Whole = Field(default=3, description="of a unit whose worker was lost or that failed unexpectedly")


class SweepFile(_Table):
    """The whole of a sweep.toml."""

    subjects: list[SubjectEntry] = Field(min_length=1)
    out: str | None = Field(default=None, description="folder; default: beside the file, named as it")
    languages: list[Name] = Field(default=["en"], min_length=1)
    emotions: Names | None = None
    stimuli: list[Kind] = Field(default=["words"], min_length=1)
    positions: Annotated[list[Position], Field(min_length=1)] | None = Field(
        default=None, description="default: 'last' for words, 'text' for scenes"
    )
    seeds: list[Whole] = Field(default=[0], min_length=1)
    norms: Name = "builtin"
    analyses: list[Analysis] = Field(default=["features", "alignment"], min_length=1)
    reading: Reading = Reading()
    selection: Thresholds = Thresholds()
    alignment: AlignmentChoices = AlignmentChoices()
    ratings: RatingChoices = RatingChoices()
    steering: SteeringGrid = SteeringGrid()
    engine: EngineChoices = EngineChoices()

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers_are_numbers(cls, value: object) -> object:
        return _with_floats(value)

    def places(self, kind: str) -> tuple[str, ...]:
        """The positions at which a kind of stimuli is read."""
        return tuple(self.positions) if self.positions else ("last",) if kind == "words" else ("text",)


_FLOATS = {"doses", "gpus", "memory_gigabytes", "max_q", "min_coverage", "min_specificity", "sparsity"}


def _with_floats(value: object, key: str = "") -> object:
    """TOML tells 1 from 1.0; where a number is wanted both are one."""
    if isinstance(value, dict):
        return {name: _with_floats(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item, key) for item in value]
    return float(value) if key in _FLOATS and type(value) is int else value


def sweep_schema() -> dict[str, object]:
    """The JSON schema of a sweep.toml, for editors that check TOML files.

    Example:
        >>> sweep_schema()["required"]
        ['subjects']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SweepFile.model_json_schema()}
