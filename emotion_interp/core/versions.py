"""Versions of the libraries that numbers depend on, as manifests keep them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def versions_of(*names: str) -> dict[str, str]:
    """Version of each installed distribution; those that are not here (SAELens beside TransformerLens 4) are left out.

    Example:
        >>> list(versions_of("numpy", "no-such-library"))
        ['numpy']
    """
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
