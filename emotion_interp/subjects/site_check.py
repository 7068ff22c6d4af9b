"""Is a site what its name says? Measured on the running model, before it is first read or written.

`attn_out` and `mlp_out` are what attention and MLP add to the stream, `resid_mid` is the stream between them, a dose
moves the stream by itself. Norms after a sublayer, scaled residuals and side branches break this on some bridges.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from emotion_interp.core.errors import UnknownNameError, UnsupportedError
from emotion_interp.core.types import Site
from emotion_interp.subjects.checks import coarsest, difference, probe_of, resting_hooks, tolerance
from emotion_interp.subjects.plan import evaluation_mode

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from emotion_interp.subjects.subject import Subject

STREAM = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
_TOKENS = 12

_READ: weakref.WeakKeyDictionary[object, dict[Site, str]] = weakref.WeakKeyDictionary()
"""Per subject: why a site cannot be read; sites that can are left out."""
_WRITTEN: weakref.WeakKeyDictionary[object, dict[Site, str]] = weakref.WeakKeyDictionary()
"""Per subject: why a site cannot be written, "" where it can."""


def check_readable(subject: Subject, site: Site) -> None:
    """Refuse to read a site that is not what its name says.

    Raises:
        UnsupportedError: with the measured difference.
    """
    site = site.point
    if site.kind not in STREAM:
        return
    if subject not in _READ:
        _READ[subject] = _unreadable(subject)
    reason = _READ[subject].get(site, "")
    if reason:
        raise UnsupportedError(f"{site.hook_name} of {subject.name} is not read: {reason}")


def check_writable(subject: Subject, site: Site) -> None:
    """Refuse to write at a site where a dose would not move the stream by itself.

    Raises:
        UnsupportedError: with the measured difference.
    """
    site = site.point
    known = _WRITTEN.setdefault(subject, {})
    if site not in known:
        check_readable(subject, site)
        known[site] = _unwritable(subject, site)
    if known[site]:
        raise UnsupportedError(f"{site.hook_name} of {subject.name} is not steered: {known[site]}")


def written_name(site: Site) -> str:
    """The hook at which a site is written: `resid_mid` is an addition at `attn_out`, its own hook is a side branch."""
    return Site(site.layer, "attn_out").hook_name if site.kind == "resid_mid" else site.hook_name


def _unreadable(subject: Subject) -> dict[Site, str]:
    with _probing(subject) as run:
        seen = run({})[0]
    half = _half(subject)
    names = subject.model.hook_dict
    sites = [Site(layer, kind) for layer in range(subject.n_layers) for kind in STREAM]
    found = {s: "its hook never fires." for s in sites if s.hook_name in names and s not in seen}
    for layer in range(subject.n_layers):
        pre, mid, post, attention, mlp = (seen.get(Site(layer, kind)) for kind in STREAM)
        if any(x is not None and not bool(x.isfinite().all()) for x in (pre, mid, post, attention, mlp)):
            # whoever reads refuses NaN, and says what may help
            continue
        following = seen.get(Site(layer + 1, "resid_pre"))
        if post is not None and following is not None and not _equal(following, post, post, half):
            reason = (
                "the next layer does not begin with what this one ends with; its stream is no one vector per token."
            )
            found[Site(layer)] = found[Site(layer + 1, "resid_pre")] = reason
        if pre is None or post is None:
            continue
        first = mid is not None and attention is not None and _equal(mid, pre + attention, attention, half)
        second = mid is not None and mlp is not None and _equal(post, mid + mlp, mlp, half)
        if attention is not None and mlp is not None:
            both = _equal(post, pre + attention + mlp, abs_max(attention, mlp), half)
        else:
            both = mid is None and attention is not None and _equal(post, pre + attention, attention, half)
        if attention is not None and not (first or both):
            found[Site(layer, "attn_out")] = (
                "it is not what attention adds to the stream (there is a norm or a factor after it)."
            )
        if mlp is not None and not (second or both):
            found[Site(layer, "mlp_out")] = (
                "it is not what the MLP adds to the stream (there is a norm or a factor after it)."
            )
        if mid is not None and not (first or second):
            found[Site(layer, "resid_mid")] = "it is not the stream between attention and MLP."
    return found


def _unwritable(subject: Subject, site: Site) -> str:
    """Why a dose at a site does not do what it should; "" where it does."""
    half = _half(subject)
    with _probing(subject) as run:
        plain, logits = run({})
        if any(bool(x.isnan().any()) for x in (logits, *plain.values())):
            # whoever steers refuses NaN, and says what may help
            return ""
        shown = [plain[s] for s in (Site(site.layer), Site(site.layer, "resid_pre"), site) if s in plain]
        if not shown:
            return "its hook never fires."
        delta = _random_like(shown[0])
        name = written_name(site)
        seen, moved = run({name: lambda x: x + delta.to(x)})
        if site.kind in ("resid_pre", "resid_post"):
            _, expected = run({}, block=(site.layer, site.kind == "resid_pre", delta))
            found = difference(moved, expected)
            return (
                "" if found.within(tolerance(subject.model)) else f"a hook on the block itself does otherwise; {found}."
            )
    pre, mid, post, attention, mlp = (seen.get(Site(site.layer, kind)) for kind in STREAM)
    if post is None or pre is None:
        return (
            "the stream at both ends of this block cannot be read, so that what a dose there does cannot be measured."
        )
    before = plain[Site(site.layer)]
    if site.kind == "mlp_out":
        expected = before + delta
    elif attention is None:
        return "this layer has no attn_out."
    else:
        expected = pre + plain[Site(site.layer, "attn_out")] + delta + (0.0 if mlp is None else mlp)
    if site.kind == "resid_mid" and (mid is None or not _equal(mid, plain[site] + delta, delta, half)):
        return "a dose there does not move the stream between attention and MLP by itself."
    if _equal(post, expected, delta, half):
        return ""
    share = float((post - expected).norm() / delta.norm())
    return f"a dose there moves the end of the block by something else (off by {share:.0%} of the dose)."


def _equal(a: torch.Tensor, b: torch.Tensor, unit: torch.Tensor, half: float) -> bool:
    """Whether two streams [token, d] agree, at the median token, in units of what was added and of their rounding."""
    if a.shape != b.shape or a.ndim != 2:
        return False
    eps = half or 1e-6
    allowed = (1e-3 if not half else 0.05) * unit.norm(dim=-1) + 4 * eps * a.norm(dim=-1)
    # BOS may be a sink whose rounding hides everything else
    return bool(((a - b).norm(dim=-1) <= allowed)[1:].double().mean() > 0.5)


def abs_max(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The longer of two vectors of each token: [token, d]."""
    import torch

    return torch.where(a.norm(dim=-1, keepdim=True) > b.norm(dim=-1, keepdim=True), a, b)


def _half(subject: Subject) -> float:
    """The rounding step of a model in half precision, else 0."""
    import torch

    dtype = coarsest(subject.model)
    return float(torch.finfo(dtype).eps) if dtype.itemsize == 2 else 0.0


def _random_like(stream: torch.Tensor) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(stream.shape[-1], generator=generator)
    return 0.5 * stream[1:].norm(dim=-1).median().cpu() * vector / vector.norm()


Run: TypeAlias = "Callable[..., tuple[dict[Site, torch.Tensor], torch.Tensor]]"


@contextmanager
def _probing(subject: Subject) -> Iterator[Run]:
    """A function that runs a short text with changes at hooks, and gives what each site showed and the logits."""
    import torch

    model = subject.model
    ids = torch.tensor([probe_of(model, subject.tokenizer, subject.context)[:_TOKENS]], device=subject.device)

    def run(
        changes: Mapping[str, Callable[[torch.Tensor], torch.Tensor]],
        block: tuple[int, bool, torch.Tensor] | None = None,
    ) -> tuple[dict[Site, torch.Tensor], torch.Tensor]:
        seen: dict[Site, torch.Tensor] = {}
        points = model.hook_dict

        def keep(site: Site) -> Callable[..., None]:
            def hook_fn(activations: torch.Tensor, hook: object) -> None:
                del hook
                seen[site] = activations.detach()[0].float()

            return hook_fn

        with evaluation_mode(model), resting_hooks(model):
            for name, change in changes.items():
                if name not in points:
                    raise UnknownNameError("hook", name, sorted(n for n in points if n.startswith("blocks.0.")))
                points[name].add_hook(lambda x, hook, change=change: change(x))
            for layer in range(subject.n_layers):
                for kind in STREAM:
                    if Site(layer, kind).hook_name in points:
                        points[Site(layer, kind).hook_name].add_hook(keep(Site(layer, kind)))
            handle = None if block is None else _on_block(model.blocks[block[0]], block[1], block[2])
            try:
                logits = model(ids, return_type="logits", **subject.uncached_options)
            finally:
                if handle is not None:
                    handle.remove()
        return seen, logits[0]

    yield run


def _on_block(block: nn.Module, before: bool, delta: torch.Tensor) -> RemovableHandle:
    """A torch hook on the block itself, which adds a vector to what it takes or gives."""

    def pre(module: object, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        del module
        if args:
            return (args[0] + delta.to(args[0]), *args[1:]), options
        name = next(n for n in ("hidden_states", "resid_pre") if n in options)
        return args, {**options, name: options[name] + delta.to(options[name])}

    def post(module: object, args: object, output: Any) -> object:
        del module, args
        if isinstance(output, (tuple, list)):
            return type(output)([output[0] + delta.to(output[0]), *output[1:]])
        return output + delta.to(output)

    return block.register_forward_pre_hook(pre, with_kwargs=True) if before else block.register_forward_hook(post)
