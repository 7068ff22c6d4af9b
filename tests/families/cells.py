"""What every family must show, cell by cell: it holds, or it is refused with a reason. Used by the tests and the table."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import emotion_interp as ei
from emotion_interp.activations import forward_pass
from emotion_interp.core import EmotionInterpError, Site
from emotion_interp.subjects.cache_check import exactness
from tests.families.by_hand import blocks_of, greedy, hook_on_block, ours
from tests.families.chat_cell import chat_cell
from tests.families.site_cell import sites_cell

TEXTS = ["the letter said that she was coming home", "he read", "joy, fear and anger and"]
CELLS = ("load", "read", "steer", "dose", "sites", "uncached", "cached", "batch", "BOS", "chat", "untouched")


def family_cells(model: Any, tokenizer: Any) -> dict[str, str]:
    """Cell -> "yes", "without cache", "one length at a time", "without X: why", "refused: why" or "-" (not loaded)."""
    before = _state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            subject = ei.Subject(model, tokenizer=tokenizer, name="family")
        except EmotionInterpError as error:
            rest = dict.fromkeys(CELLS[1:-1], "-")
            return {"load": f"refused: {error}", **rest, "untouched": _cell(lambda: _untouched(model, before))}
        rows = [list(t.ids) for t in subject.tokenize(TEXTS)]
        found = {
            "load": "yes",
            "read": _cell(lambda: _read(subject, model)),
            "steer": _cell(lambda: _steer(subject, model, rows)),
            "dose": _cell(lambda: _dose(subject)),
            "sites": _cell(lambda: sites_cell(subject)),
            "uncached": _cell(lambda: _alone(subject, model, rows, False)),
            "cached": _cell(lambda: _alone(subject, model, rows, True)),
            "batch": _cell(lambda: _batch(subject, model, rows)),
            "BOS": _cell(lambda: _bos(subject)),
            "chat": _cell(lambda: chat_cell(subject, model)),
        }
        return {**found, "untouched": _cell(lambda: _untouched(model, before))}


def _cell(check: Callable[[], str | None]) -> str:
    try:
        return check() or "yes"
    except EmotionInterpError as error:
        assert len(str(error)) > 40, f"a refusal says why: {error!r}"
        return f"refused: {error}"


def _read(subject: Any, model: Any) -> str | None:
    """Activations at every layer are what transformers' blocks give, for each row of a padded batch."""
    import torch

    tokens = subject.tokenize(TEXTS)
    seen: dict[tuple[int, int], Any] = {}

    def on_site(site: Site, activations: Any, batch: Any) -> None:
        for i, row in enumerate(batch.rows):
            seen[site.layer, int(row)] = activations[i, : batch.lengths[i]].detach().clone()

    forward_pass(subject, tokens, [Site(layer) for layer in range(subject.n_layers)], on_site)
    for number, one in enumerate(tokens):
        for layer, block in enumerate(blocks_of(model)):
            kept: list[Any] = []
            with hook_on_block(block, lambda x, kept=kept: kept.append(x.detach().clone())), torch.no_grad():
                model(torch.tensor([one.ids]))
            _close(seen[layer, number], kept[0][0], f"layer {layer}, row {number}")
    return None


def _steer(subject: Any, model: Any, rows: list[list[int]]) -> str | None:
    """A direction added at `resid_post` writes what a hook on transformers' block writes, with and without cache."""
    vector = np.random.default_rng(0).normal(size=subject.d_model).astype(np.float32)
    import torch

    delta = torch.from_numpy(3.0 * vector / np.linalg.norm(vector))
    with hook_on_block(blocks_of(model)[0], lambda x: x + delta.to(x)):
        expected = [greedy(model, row) for row in rows]
    with ei.steer(subject, ei.Direction(vector, layer=0), dose=3.0, scale=1.0, positions="all_with_bos"):
        got = {cache: ours(subject, rows, cache) for cache in (False, True)}
    assert got[False] == expected and got[True] == expected, (got, expected)
    return None


def _dose(subject: Any) -> str | None:
    """A dose at `resid_mid` and `mlp_out` moves the stream by itself."""
    import torch

    vector = np.random.default_rng(1).normal(size=subject.d_model).astype(np.float32)
    unit = vector / np.linalg.norm(vector)
    refused: dict[str, list[int]] = {}
    for written, read in (("mlp_out", "resid_post"), ("resid_mid", "resid_mid")):
        for layer in range(subject.n_layers):
            try:
                plain = _stream(subject, Site(layer, read))
                with ei.steer(subject, ei.Direction(vector, layer, written), 2.0, "all_with_bos", scale=1.0):
                    moved = _stream(subject, Site(layer, read))
            except EmotionInterpError as error:
                reason = str(error).split(" Did you mean")[0].split(" Available")[0]
                refused.setdefault(reason.replace(f"blocks.{layer}", "blocks.L"), []).append(layer)
                continue
            # in half precision the stream is rounded after the dose
            _close(moved, plain + torch.from_numpy(2.0 * unit).to(plain), f"{written} of layer {layer}")
    if not refused:
        return None
    return "refused: " + "; ".join(
        f"{reason}" if len(layers) == subject.n_layers else f"layer {layers[0]}: {reason}"
        for reason, layers in refused.items()
    )


def _stream(subject: Any, site: Site) -> Any:
    kept: list[Any] = []
    forward_pass(subject, subject.tokenize(TEXTS[:1]), [site], lambda s, x, b: kept.append(x[0].detach().clone()))
    return kept[0]


def _alone(subject: Any, model: Any, rows: list[list[int]], cache: bool) -> str | None:
    """Each row alone gives transformers' own greedy tokens."""
    got = [ours(subject, [row], cache)[0] for row in rows]
    expected = [greedy(model, row) for row in rows]
    assert got == expected, (got, expected)
    return "without cache" if cache and not exactness(subject).cache else None


def _batch(subject: Any, model: Any, rows: list[list[int]]) -> str | None:
    """Rows of several lengths together give what each gives alone."""
    expected = [greedy(model, row) for row in rows]
    for cache in (False, True):
        assert ours(subject, rows, cache) == expected, (cache, expected)
    known = exactness(subject)
    return None if known.padding and (known.padding_with_cache or not known.cache) else "one length at a time"


def _bos(subject: Any) -> str | None:
    bos = subject.tokenizer.bos_token_id
    for text in (TEXTS[0], subject.tokenizer.bos_token + TEXTS[0]):
        ids = subject.tokenize([text])[0].ids
        if subject.prepends_bos or text != TEXTS[0]:
            assert ids.count(bos) == 1 and ids[0] == bos, ids
        else:
            assert bos not in ids
    return None if subject.prepends_bos else "none, as its settings ask"


def _state(model: Any) -> dict[str, Any]:
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([[1, 5, 9, 40]])).logits.clone()
    return {
        "logits": logits,
        # a state_dict() of a model in four bits rounds it anew
        "keys": [name for name, _ in [*model.named_parameters(), *model.named_buffers()]],
        "pointers": [p.data_ptr() for p in model.parameters()],
        "modules": [(n, type(m)) for n, m in model.named_modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "config": str(model.config),
    }


def _untouched(model: Any, before: dict[str, Any]) -> str | None:
    import torch

    after = _state(model)
    assert torch.equal(before.pop("logits"), after.pop("logits"))
    assert before == after
    return None


def _close(got: Any, expected: Any, where: str, tolerance: float = 1e-4) -> None:
    import torch

    if torch.is_tensor(got):
        tolerance = 2e-2 if got.dtype.itemsize == 2 else tolerance
        got, expected = got.double(), torch.as_tensor(expected).double()
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert np.abs(got - expected).max() <= tolerance * max(1.0, np.abs(expected).max()), where
