"""Norms: human ratings of words, the registry of those that can be had, and a small table that ships with the package."""

from emotion_interp.norms.entry import NormsEntry, NormsFile
from emotion_interp.norms.load import cache_folder, fetch_norms, load_norms, norms_table
from emotion_interp.norms.registry import REGISTRY
from emotion_interp.norms.table import Norms

__all__ = [
    "REGISTRY",
    "Norms",
    "NormsEntry",
    "NormsFile",
    "cache_folder",
    "fetch_norms",
    "load_norms",
    "norms_table",
]
