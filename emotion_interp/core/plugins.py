"""What other distributions add: norms, judges and kinds of direction, named by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from emotion_interp.core.errors import tell


def plugins(kind: str) -> dict[str, EntryPoint]:
    """Name -> entry point of the group `emotion_interp.<kind>`; nothing of them is loaded.

    Args:
        kind: "norms", "judges" or "directions".

    Example:
        >>> plugins("judges")
        {}
    """
    return {entry.name: entry for entry in entry_points(group=f"emotion_interp.{kind}")}


def plugged(kind: str, name: object, *given: object) -> Any:
    """What a plug-in makes: its function, called with what is given. None where no plug-in has the name.

    Warns:
        UserWarning: the plug-in does not load, or its function fails; the name counts as unknown then.
    """
    entry = plugins(kind).get(str(name))
    if entry is None:
        return None
    try:
        return entry.load()(*given)
    except Exception as error:
        # whatever a stranger's code raises is its own fault, and must not hide what else there is
        owner = entry.dist.name if entry.dist else "unknown"
        tell(f"the plug-in {name!r} of {owner} ({entry.value}) fails: {type(error).__name__}: {error}")
        return None
