"""Memory that nobody uses goes back to the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from emotion_interp.core.memory import give_back, one_heap


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says how much a process holds")
def test_memory_between_things_that_stay_is_given_back() -> None:
    # blocks below the size that is mapped, every sixteenth kept: the heap cannot shrink from its end
    blocks = [np.ones(8_000) for _ in range(3_000)]
    kept = blocks[::16]
    blocks.clear()
    before = resident()
    give_back()
    assert before - resident() > 50 * 2**20, "the free blocks between those that stay are still held"
    assert all(block.sum() == 8_000 for block in kept)


def test_one_heap_is_left_as_it_was_found_also_after_an_error():
    before = pyarrow.default_memory_pool().backend_name
    with pytest.raises(KeyError), one_heap():
        assert pyarrow.default_memory_pool().backend_name == "system"
        raise KeyError
    assert pyarrow.default_memory_pool().backend_name == before
