"""Which locks of the package are taken: one that is left so makes the next thread wait for ever, in some other test."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

from emotion_interp.core import scopes
from emotion_interp.subjects.shelf import SaeShelf

_KINDS = (type(threading.Lock()), type(threading.RLock()))
_SHELVES: weakref.WeakSet[SaeShelf] = weakref.WeakSet()
"""Where SAEs stand, of the subjects that a test interrupts."""


def watch_shelves() -> None:
    """Look at the locks of all shelves that are there now as well."""
    _SHELVES.update(thing for thing in gc.get_objects() if isinstance(thing, SaeShelf))


def package_locks() -> list[threading.RLock]:
    """Those of its modules, of models, SAEs and tokenizers, and of watched shelves."""
    package = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "emotion_interp"]
    named = [value for module in package for value in vars(module).values() if isinstance(value, _KINDS)]
    shelves = [shelf._lock for shelf in _SHELVES]
    return list({id(lock): lock for lock in (*named, *shelves, *scopes._LOCKS.values())}.values())


def taken_locks() -> list[threading.RLock]:
    """Those that another thread cannot have now."""
    locks, taken = package_locks(), []

    def look() -> None:
        for lock in locks:
            if lock.acquire(blocking=False):
                lock.release()
            else:
                taken.append(lock)

    other = threading.Thread(target=look)
    other.start()
    other.join()
    return taken
