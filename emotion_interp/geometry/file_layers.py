"""Files that hold the vectors of several layers: one layer is taken, or the layers are listed; never all as so many emotions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError

LAYERS = "layers"
"""Entry of a file that says which layers an axis stands for."""

_WORD = r"(?:layers?|blocks?|h|l)"
_LAST = re.compile(
    rf"^(?P<name>.*?\D)(?:[\W_]+{_WORD}[\W_]*|(?:layers?|blocks?)[\W_]*|[\W_]*)(?P<layer>\d+)$", re.IGNORECASE
)
_FIRST = re.compile(rf"^{_WORD}?[\W_]*(?P<layer>\d+)[\W_]+(?P<name>.*\D.*)$", re.IGNORECASE)
_SITE = re.compile(r"^(?:hook_)?(?:resid|mlp|attn)_(?:pre|mid|post|out)[\W_]+", re.IGNORECASE)
_ALONE = re.compile(rf"^(?P<name>){_WORD}?[\W_]*(?P<layer>\d+)$", re.IGNORECASE)


def picked_layer(path: Path, layers: Sequence[int], layer: int | None) -> int:
    """The layer asked for among those of a file; the only one where none is asked for."""
    if layer is None:
        if len(layers) > 1:
            raise EmotionInterpError(
                f"{path} holds vectors of the layers {', '.join(map(str, layers))}; choose one with layer=."
            )
        return layers[0]
    if layer not in layers:
        raise UnknownNameError(f"layer of {path.name}", layer, layers)
    return layer


def layer_numbers(arrays: dict[str, np.ndarray]) -> list[int] | None:
    """The entry `layers` of a file, taken out of its arrays: which layers its matrices hold."""
    values = arrays.get(LAYERS)
    others = [v for name, v in arrays.items() if name != LAYERS]
    if values is None or values.ndim != 1 or not others or any(v.ndim == 1 for v in others):
        return None
    if not np.array_equal(values, values.astype(int)) or len(set(values.tolist())) < len(values):
        return None
    del arrays[LAYERS]
    return [int(v) for v in values]


def one_layer(
    path: Path,
    arrays: dict[str, np.ndarray],
    emotions: Sequence[str] | None,
    layer: int | None,
    numbers: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of one layer, under the names of the emotions; arrays of a file without layers as they are.

    `numbers`: which layers an axis of layers stands for; default 0, 1, 2, ...

    Raises:
        FileFormatError: not every emotion is there at every layer.
        EmotionInterpError: several layers, and none is asked for.
        UnknownNameError: no such layer.
    """
    if len(arrays) == 1:
        ((name, values),) = arrays.items()
        if values.ndim == 3:
            return {name: _slice(path, name, values, emotions, layer, numbers)}
    if len(arrays) > 1 and all(v.ndim == 2 for v in arrays.values()):
        split = _by_names(arrays, _ALONE, _LAST)
        if split is not None and len({name for name, _ in split}) == 1:
            # layer_0, layer_1: matrices [emotion, dimension], one for each layer
            layers = sorted({number for _, number in split})
            if layer is None:
                raise FileFormatError(
                    f"{path} holds matrices of the layers {', '.join(map(str, layers))}; choose one with layer= or array=."
                )
            chosen = picked_layer(path, layers, layer)
            return {key: v for (_, number), (key, v) in zip(split, arrays.items(), strict=True) if number == chosen}
        if len({v.shape for v in arrays.values()}) == 1 and split is None:
            # joy, fear: matrices [layer, dimension], one for each emotion
            layers = _numbered(path, next(iter(arrays.values())).shape[0], numbers)
            if emotions is None or set(emotions) & set(arrays):
                place = layers.index(picked_layer(path, layers, layer))
                return {name: v[place] for name, v in arrays.items()}
    if len(arrays) > 1 and all(v.ndim == 1 for v in arrays.values()):
        return _vectors(path, arrays, emotions, layer)
    return arrays


def _numbered(path: Path, count: int, numbers: Sequence[int] | None) -> list[int]:
    if numbers is not None and len(numbers) != count:
        raise FileFormatError(f"{path}: its entry {LAYERS!r} names {len(numbers)} layers, and it holds {count}.")
    return list(range(count)) if numbers is None else list(numbers)


def _slice(
    path: Path,
    name: str,
    values: np.ndarray,
    emotions: Sequence[str] | None,
    layer: int | None,
    numbers: Sequence[int] | None,
) -> np.ndarray:
    """A matrix [emotion, dimension] of an array of three axes: layer and emotion are told apart by the number of names."""
    count = None if emotions is None else len(emotions)
    axes = [axis for axis in (0, 1) if values.shape[1 - axis] == count]
    if len(axes) != 1:
        raise FileFormatError(
            f"{path}: the array {name!r} has the shape {values.shape}; [layer, emotion, dimension] or [emotion, layer, "
            f"dimension] with {'the names of the emotions' if count is None else f'{count} emotions'} is needed."
        )
    layers = _numbered(path, values.shape[axes[0]], numbers)
    return np.take(values, layers.index(picked_layer(path, layers, layer)), axis=axes[0])


def _vectors(
    path: Path, arrays: dict[str, np.ndarray], emotions: Sequence[str] | None, layer: int | None
) -> dict[str, np.ndarray]:
    """Vectors whose names say emotion and layer."""
    if emotions is not None and set(emotions) <= set(arrays):
        return arrays
    split = _by_names(arrays, _LAST, _FIRST)
    if split is None:
        some = {name: matched for name in arrays for matched in _by_names({name: arrays[name]}, _LAST) or ()}
        if len({emotion for emotion, _ in some.values()}) < len(some):
            other = next(name for name in arrays if name not in some)
            raise FileFormatError(
                f"{path}: some of its names end in a layer ({next(iter(some))}), others do not ({other}); give every vector its "
                "layer, or save one layer."
            )
        return arrays
    names, layers = list(dict.fromkeys(n for n, _ in split)), sorted({number for _, number in split})
    if len(names) == len(split):
        # one layer each: numbers that belong to the names
        return arrays
    if len(names) < 2:
        raise FileFormatError(
            f"{path} holds {len(split)} vectors of one name, {names[0]!r}, at so many layers; a space has several emotions. "
            "Name the vectors after them."
        )
    if len(set(split)) < len(split) or len(split) != len(names) * len(layers):
        raise FileFormatError(
            f"{path} holds {len(split)} vectors for {len(names)} emotions and {len(layers)} layers; one vector for each "
            "emotion at each layer is needed."
        )
    chosen = picked_layer(path, layers, layer)
    return {name: v for (name, number), v in zip(split, arrays.values(), strict=True) if number == chosen}


def _by_names(arrays: dict[str, np.ndarray], *patterns: re.Pattern[str]) -> list[tuple[str, int]] | None:
    """(emotion, layer) of every name by the first pattern that fits all, or None."""
    for pattern in patterns:
        matches = [pattern.match(name) for name in arrays]
        if all(matches):
            names = [_SITE.sub("", match["name"].strip("_.-/ ")) for match in matches if match]
            return list(zip(names, (int(match["layer"]) for match in matches if match), strict=True))
    return None
