"""The manifest of a bank as a pydantic model: entries that are needed, their types, and no number that is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.types import Site

_CONFIG = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Sae(BaseModel):
    """An SAE that the bank was found with."""

    model_config = _CONFIG
    site: str
    architecture: str | None = None
    neuronpedia_id: str | None = None
    signature: list[float] = []


class Manifest(BaseModel):
    """Entries that the code relies on; there may be others."""

    model_config = _CONFIG
    subject: str
    emotions: list[str] = Field(min_length=1)
    languages: list[str] = Field(min_length=1)
    labels: dict[str, dict[str, str]]
    concept_words: dict[str, dict[str, list[str]]]
    scales: dict[str, PositiveFloat] = Field(min_length=1)
    d_sae: dict[str, PositiveInt]
    stimuli: str
    seed: int
    n_tested: int = Field(ge=0)
    n_alive: dict[str, int]
    provenance: dict[str, object] | None = None
    saes: list[Sae] = []
    concepts_sha256: str | None = None
    conversation: dict[str, list[list[str]]] = {}
    position: str | None = None
    skip: int = Field(default=8, ge=0)
    selection: dict[str, int | float | str | None] = {}
    versions: dict[str, str] = {}
    python: str | None = None
    files: dict[str, str] = {}
    rows: dict[str, int] = {}
    added: dict[str, object] = {}
    merged: list[dict[str, object]] = []


def check_manifest(where: str, manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest whose entries are missing or of another type, naming the first that is.

    Raises:
        FileFormatError: in one line.
    """
    try:
        Manifest.model_validate(dict(manifest))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        given = "" if first["type"] == "missing" else f", got {str(first['input'])[:80]!r}"
        place = ".".join(map(str, first["loc"]))
        raise FileFormatError(f"{where}, entry {place!r}: {first['msg'].lower()}{given}.") from None
    for entry in ("emotions", "languages"):
        names = list(manifest[entry])
        if len(set(names)) < len(names):
            raise FileFormatError(f"{where}, entry {entry!r}: one name is there twice ({', '.join(names)[:200]}).")
    for name in (*manifest["scales"], *(sae["site"] for sae in manifest.get("saes", ()))):
        try:
            Site.parse(name)
        except EmotionInterpError as error:
            raise FileFormatError(f"{where}: {error}") from None
