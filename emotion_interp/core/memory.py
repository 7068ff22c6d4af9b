"""How much memory is free, of the machine, of the container it runs in, of a device; and giving back what is free here."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the limit and the use of a container, of either version."""


def free_memory(device: str = "cpu") -> int | None:
    """Bytes that may still be taken on a device; None where nobody says.

    Args:
        device: a torch device; "auto" is CUDA where there is one.

    Example:
        >>> (free_memory() or 1) > 0
        True
    """
    if device != "cpu":
        import torch

        if torch.cuda.is_available() and device.partition(":")[0] in ("cuda", "auto"):
            return int(torch.cuda.mem_get_info(None if device == "auto" else device)[0])
        if device != "auto":
            return None
    rooms = [room for room in (_of_machine(), *(_of_container(*files) for files in _CGROUPS)) if room is not None]
    return min(rooms, default=None)


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _of_container(limit: str, used: str) -> int | None:
    try:
        room = int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii"))
    except (OSError, ValueError):
        # no container, or one without a limit ("max")
        return None
    # version 1 says "no limit" with a number near 2^63
    return max(0, room) if room < 2**60 else None


def give_back() -> None:
    """Hand memory that this process no longer uses back to the system, where its C library (glibc) can.

    Between pieces of work of other sizes it keeps what was freed, in pieces that the next cannot use: a long run's peak
    creeps up without a leak.

    Example:
        >>> give_back()
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        # tables are in heaps of its own
        for name in arrow.supported_memory_backends():
            getattr(arrow, f"{name}_memory_pool")().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@contextmanager
def one_heap() -> Iterator[None]:
    """Inside it pyarrow's tables lie in the C library's heap, from which `give_back` hands over what is freed.

    A heap of pyarrow's own keeps pages beside those that the other keeps, and both grow with the largest table.

    Example:
        >>> with one_heap():
        ...     pass
    """
    import pyarrow

    before = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        yield
    finally:
        pyarrow.set_memory_pool(before)


def gibibytes(n_bytes: float) -> str:
    """A number of bytes as people say it.

    Example:
        >>> gibibytes(3 * 2**30), gibibytes(5 * 2**20)
        ('3.0 GiB', '5 MiB')
    """
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
