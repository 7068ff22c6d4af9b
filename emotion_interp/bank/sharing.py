"""Banks for others: a Hugging Face repository to push to and pull from, links to Neuronpedia."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.card import CARD, write_card
from emotion_interp.bank.files import require_bank_place
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import atomic_folder, read_json
from emotion_interp.core.leftovers import found_folder
from emotion_interp.core.reading import checked_name
from emotion_interp.subjects.lookup import is_network_error
from emotion_interp.subjects.sae_facts import neuronpedia_link

if TYPE_CHECKING:
    from emotion_interp.core.types import Site

REPO_TYPES = ("model", "dataset")


def feature_link(bank: FeatureBank, layer: int | Site, feature: int) -> str | None:
    """Neuronpedia's page of a feature, or None where the SAE has no id there.

    Raises:
        UnknownNameError: the bank has no such layer, or the SAE no such feature.

    Example:
        >>> feature_link(bank, 8, 1234)  # doctest: +SKIP
        'https://www.neuronpedia.org/gpt2-small/8-res-jb/1234'
    """
    site = bank.site(layer)
    width = int(bank.manifest["d_sae"][str(site)])
    if not 0 <= feature < width:
        raise UnknownNameError("feature", feature, range(width))
    for sae in bank.manifest.get("saes", ()):
        if sae.get("site") == str(site) and sae.get("neuronpedia_id"):
            return neuronpedia_link(sae["neuronpedia_id"], feature)
    return None


@checked
def push_bank(
    bank: FeatureBank,
    destination: str | Path,
    *,
    private: bool = True,
    repo_type: str = "model",
    token: str | None = None,
) -> str:
    """Save a bank with its card to a local folder or a Hugging Face repository; returns where it lies.

    Args:
        bank: the bank.
        destination: a `Path`, or a text that begins with "./", "../", "~" or "/", is a folder; anything else with one
            slash ("name/bank") a repository, which is made where it does not exist.
        private: whether a new repository is private.
        repo_type: "model" or "dataset".
        token: of the Hugging Face hub; default: the one you are logged in with.

    A table of examples holds texts: leave it out of a bank that nobody else should read them in.

    Raises:
        EmotionInterpError: no place of either kind, a folder of something else, or the hub refuses.
        UnknownNameError: another type of repository.

    Example:
        >>> push_bank(bank, "me/gemma-emotions")  # doctest: +SKIP
    """
    folder = _folder(destination)
    if folder is not None:
        write_card(bank, bank.save(folder))
        return str(folder)
    _check_repo(destination, repo_type)

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as temporary:
        path = bank.save(Path(temporary) / "bank")
        write_card(bank, path)
        try:
            api.create_repo(str(destination), private=private, repo_type=repo_type, exist_ok=True)
            api.upload_folder(
                repo_id=str(destination), folder_path=path, repo_type=repo_type, commit_message="Feature bank"
            )
        except Exception as error:
            if not isinstance(error, (HfHubHTTPError, OfflineModeIsEnabled)) and not is_network_error(error):
                raise
            raise EmotionInterpError(
                f"the bank was not pushed to {destination}: {error}. Log in with `hf auth login`, or push to a folder."
            ) from error
    return f"{'datasets/' if repo_type == 'dataset' else ''}{destination}"


@checked
def pull_bank(
    source: str | Path,
    out: str | Path | None = None,
    *,
    revision: str | None = None,
    repo_type: str = "model",
    token: str | None = None,
) -> FeatureBank:
    """A bank from a local folder or a Hugging Face repository (from the client's cache where there is no network).

    Args:
        source: folder or repository, as in `push_bank`.
        out: also save the bank there.
        revision: branch, tag or commit of the repository.
        repo_type: as in `push_bank`.
        token: as in `push_bank`.

    Raises:
        FileFormatError: no bank there, or a changed or damaged one.
        EmotionInterpError: the repository can be reached neither on the hub nor in the cache.

    Example:
        >>> bank = pull_bank("someone/gemma-emotions")  # doctest: +SKIP
    """
    folder = _folder(source)
    if folder is None:
        _check_repo(source, repo_type)
        folder = _snapshot(str(source), revision, repo_type, token)
    bank = FeatureBank.load(folder)
    if out is not None:
        require_bank_place(out)
        with atomic_folder(Path(out)) as place:
            for file in (*bank_files(folder), folder / CARD):
                if file.is_file():
                    shutil.copyfile(file, place / file.name)
    return bank


def bank_files(folder: Path) -> list[Path]:
    """The files of a bank folder, without anything else that lies there."""
    return [folder / "manifest.json", *(folder / name for name in read_json(folder / "manifest.json")["files"])]


def _snapshot(repo: str, revision: str | None, repo_type: str, token: str | None) -> Path:
    options: dict[str, Any] = {"revision": revision, "repo_type": repo_type, "token": token}
    # nothing but what a bank is made of: a repository is a stranger's folder
    options["allow_patterns"] = ["*.parquet", "*.safetensors", "manifest.json", CARD]
    try:
        return Path(snapshot_download(repo, **options))
    except Exception as error:
        known = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled)
        if not isinstance(error, known) and not is_network_error(error):
            raise
        try:
            return Path(snapshot_download(repo, local_files_only=True, **options))
        except (LocalEntryNotFoundError, OSError):
            raise EmotionInterpError(
                f"the repository {repo!r} is neither reachable nor in the local cache ({type(error).__name__}); check its "
                "name, your network and login, or give a folder."
            ) from error


def _folder(place: str | Path) -> Path | None:
    """The folder a place names, or None for a repository."""
    if isinstance(place, Path):
        return place
    if not place.strip():
        raise EmotionInterpError("a bank needs a place: a folder, or a repository such as name/bank.")
    checked_name(place, "a bank's place")
    if place.startswith(("./", "../", "/", "~")) or found_folder(place).is_dir():
        try:
            return Path(place).expanduser()
        except RuntimeError as error:
            raise FileFormatError(f"{place!r} is no folder: {error}") from None
    return None


def checked_place(place: str | Path) -> None:
    """Refuse a text that names neither a folder nor a repository.

    Raises:
        FileFormatError: neither.
    """
    if _folder(place) is None:
        _check_repo(place, "model")


def _check_repo(repo: str | Path, repo_type: str) -> None:
    if repo_type not in REPO_TYPES:
        raise UnknownNameError("type of repository", repo_type, REPO_TYPES)
    try:
        validate_repo_id(str(repo))
    except HFValidationError as error:
        raise FileFormatError(f"{repo!r} is neither a folder nor a repository name: {error}") from error
