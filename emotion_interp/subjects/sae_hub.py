"""SAEs in a repository of the hub: listed first, chosen by their configurations, and only then downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.reading import said
from emotion_interp.subjects.lookup import is_network_error, require_on_hub
from emotion_interp.subjects.sae_choice import SaeChoice, choose_saes
from emotion_interp.subjects.sae_folders import CONFIGURATIONS, SaePlace, places_among, sae_places


def hub_places(repo: str, layers: Iterable[int] | None, choice: SaeChoice) -> list[SaePlace]:
    """The SAEs of a repository that layers and a choice mean, downloaded; from the local cache where the hub is silent.

    Raises:
        EmotionInterpError: neither the hub nor the cache has it, or several SAEs read one site and nothing was chosen.
        FileFormatError: it holds no SAE in a layout that is known.
        UnknownNameError: a layer, width or id that it does not have.
    """
    cached = _cached(repo)
    try:
        require_on_hub(repo, "repository of SAEs")
    except EmotionInterpError:
        if cached is None:
            raise
        return _chosen(repo, sae_places(cached), layers, choice)
    try:
        names = HfApi().list_repo_files(repo)
        folder = Path(snapshot_download(repo, allow_patterns=[f"*{name}" for name in CONFIGURATIONS]))
        places = _chosen(repo, places_among(names, folder, repo), layers, choice)
        wanted = [
            f"{place.folder.relative_to(folder).as_posix()}/{file}".removeprefix("./")
            for place in places
            for file in place.files
        ]
        snapshot_download(repo, allow_patterns=wanted)
    except (HfHubHTTPError, OSError) as error:
        raise EmotionInterpError(f"the SAEs of {repo!r} cannot be downloaded: {said(error)}") from error
    except Exception as error:
        if not is_network_error(error):
            raise
        raise EmotionInterpError(f"the SAEs of {repo!r} cannot be downloaded: {said(error)}") from error
    return places


def _chosen(repo: str, places: list[SaePlace], layers: Iterable[int] | None, choice: SaeChoice) -> list[SaePlace]:
    chosen = {entry.id for entry in choose_saes(repo, [place.entry() for place in places], layers, choice)}
    return [place for place in places if place.id in chosen]


def _cached(repo: str) -> Path | None:
    """The repository's snapshot in the local cache."""
    try:
        return Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
