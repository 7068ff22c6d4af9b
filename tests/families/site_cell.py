"""Which kinds of site a family's blocks have: each is read and steered, or refused with a reason."""

from __future__ import annotations

from typing import Any

import numpy as np

import emotion_interp as ei
from emotion_interp.activations import forward_pass
from emotion_interp.core import KINDS, WRITABLE_KINDS, EmotionInterpError, Site


def sites_cell(subject: Any) -> str | None:
    """Every kind at every layer is read at every token, and steered where it can be written; else the reason."""
    without: dict[str, str] = {}
    tokens = subject.tokenize(["the letter said that she was coming home"])
    vector = np.random.default_rng(2).normal(size=subject.d_model)
    for kind in KINDS:
        for layer in range(subject.n_layers):
            site = Site(layer, kind)
            try:
                widths = _read(subject, tokens, site)
                assert widths[0] == len(tokens[0]) and np.prod(widths[1:]) > 0, (site, widths)
                if kind in WRITABLE_KINDS:
                    with ei.steer(subject, ei.Direction(vector, layer, kind), 1.0, "all", scale=1.0):
                        _read(subject, tokens, site)
            except EmotionInterpError as error:
                reason = str(error).split(" Did you mean")[0].split(" Available")[0]
                without.setdefault(kind, reason.replace(f"blocks.{layer}", "blocks.L"))
    if not without:
        return None
    return f"without {', '.join(without)}: {'; '.join(dict.fromkeys(without.values()))}"


def _read(subject: Any, tokens: Any, site: Site) -> tuple[int, ...]:
    seen: list[tuple[int, ...]] = []
    forward_pass(subject, tokens, [site], lambda s, x, b: seen.append(tuple(x[0].shape)))
    return seen[0]
