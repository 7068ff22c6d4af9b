"""The bank of a study folder: made once, known by its content, and never replaced with what was added to it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.bank import FeatureBank
from emotion_interp.bank.bank import METHODS, SPACES_ONLY
from emotion_interp.bank.files import EXTRA_TABLES
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.files import sha256_file, sha256_of
from emotion_interp.core.leftovers import found_folder, temporary_place

if TYPE_CHECKING:
    from emotion_interp.study.store import StudyFolder

STAGE = "features"


def identity(bank: FeatureBank) -> dict[str, Any]:
    """What a loaded bank is made of: the digest of what `find_features` gave, and of each table and method added to it."""
    files = dict(bank.manifest["files"])
    own = {n: files.pop(n) for n in list(files) if Path(n).stem not in EXTRA_TABLES and n.endswith(".parquet")}
    methods: dict[str, list[list[str]]] = {}
    for key, array in sorted(bank.directions.items(), key=lambda item: item[0].file_name):
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        methods.setdefault(key.method, []).append([key.file_name, digest])
    core = {m: methods.pop(m) for m in (*METHODS, *SPACES_ONLY) if m in methods}
    entries = ("subject", "provenance", "emotions", "languages", "scales", "d_sae", "stimuli", "seed", "selection")
    said = {name: bank.manifest.get(name) for name in entries}
    added = {f"table {Path(n).stem}": digest for n, digest in files.items() if n.endswith(".parquet")}
    added |= {f"directions {m}": sha256_of(parts) for m, parts in methods.items()}
    return {"core": sha256_of([own, core, said]), "added": added}


def known_bank(folder: StudyFolder, key: object) -> FeatureBank | None:
    """The bank of a study, if it is what this key made; what was added to it since stays in it.

    Raises:
        EmotionInterpError: the bank there has additions and is another one than this run makes.
    """
    place = folder.path / "bank"
    entry, there = _entry(folder), _loaded(place)
    if there is None:
        return None
    if entry.get("key") == sha256_of(key) and identity(there)["core"] == entry.get("core"):
        return there
    if entry.get("core"):
        # another one in any case: the settings are others, or its content is
        _refuse_additions(place, there, _known(entry))
    return None


def placed_bank(folder: StudyFolder, key: object, made: FeatureBank, began: float) -> FeatureBank:
    """A bank that was found just now, as it lies in the study's folder from now on.

    One there that is the same by its content stays, with what was added to it. Where another one has to take its place,
    one with such additions is not replaced.

    Raises:
        EmotionInterpError: the bank there has additions, or no run made it, and it is another one.
    """
    place = folder.path / "bank"
    entry, there = _entry(folder), _loaded(place)
    with temporary_place(place) as trial:
        try:
            kind = identity(_same(made.save(trial)))
        finally:
            shutil.rmtree(trial, ignore_errors=True)
    if there is None or identity(there)["core"] != kind["core"]:
        if there is not None:
            if not entry:
                raise EmotionInterpError(
                    f"{place} is a bank that no run in this folder made, and another one than this run makes; give another "
                    "--out, or move the bank away."
                )
            _refuse_additions(place, there, _known(entry))
        else:
            _set_aside(place, kind["added"])
        # a kill while the new bank is put into place must not make the tables of the old one look added
        old = identity(there)["added"] if there is not None else {}
        folder.finish(STAGE, key, [], began, replaces={**_known(entry), **old})
        made.save(place)
    files = [f"bank/{p.name}" for p in sorted(place.iterdir())]
    folder.finish(STAGE, key, files, began, core=kind["core"], made=kind["added"])
    return _same(place)


def _entry(folder: StudyFolder) -> dict[str, Any]:
    return folder.record["stages"].get(STAGE) or {}


def _known(entry: dict[str, Any]) -> dict[str, str]:
    """What a run itself put into the bank, or into one that it replaced."""
    return {**entry.get("made", {}), **entry.get("replaces", {})}


def _same(place: Path) -> FeatureBank:
    return FeatureBank.load(place)


def _loaded(place: Path) -> FeatureBank | None:
    """The bank that lies there, or None where there is none or a damaged one."""
    try:
        return _same(place) if (found_folder(place) / "manifest.json").exists() else None
    except EmotionInterpError:
        return None


def _refuse_additions(place: Path, bank: FeatureBank, known: dict[str, str]) -> None:
    added = [name for name, digest in identity(bank)["added"].items() if known.get(name) != digest]
    if added:
        raise EmotionInterpError(
            f"{place} is a bank of other settings, to which something was added ({', '.join(sorted(added))}); this run would "
            "replace it. Give another --out, or move the bank away."
        )


def _set_aside(place: Path, made: dict[str, str]) -> None:
    """A damaged bank with tables that the run did not make is kept under another name."""
    files = {name: place / f"{name}.parquet" for name in EXTRA_TABLES}
    mine = [n for n, f in files.items() if f.is_file() and made.get(f"table {n}") != sha256_file(f)]
    if not mine:
        return
    number = 1
    while (aside := place.with_name(f"bank.damaged{number}")).exists():
        number += 1
    shutil.move(place, aside)
    tell(f"{place} was damaged and is found again; what was added to it ({', '.join(mine)}) is kept in {aside}.")
