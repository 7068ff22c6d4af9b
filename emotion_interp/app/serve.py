"""Serving the live page: on the loopback address, behind a random token, until it is interrupted."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from emotion_interp.app.snippets import Origin
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.extras import need
from emotion_interp.core.progress import SHOWN

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 24


@checked
def serve(
    subject: Subject,
    bank: FeatureBank,
    port: int = 0,
    *,
    open_browser: bool = False,
    origin: Origin | None = None,
    tell: Callable[[str], object] = print,
) -> None:
    """Show a subject in the browser: read texts, steer, look at features. Returns when interrupted.

    It answers on this machine alone (127.0.0.1), to nobody without the token in the address, and writes nothing to disk.

    Args:
        subject: the model, with SAEs.
        bank: found in it.
        port: 0 for a free one.
        open_browser: open the page.
        origin: how subject and bank were made, for "copy as Python".
        tell: receives the address.

    Raises:
        UnsupportedError: starlette or uvicorn is not installed (extra `app`).
        EmotionInterpError: the bank is of another subject, or the port is taken.

    Example:
        >>> subject = ei.load_subject()  # doctest: +SKIP
        >>> ei.serve(subject, ei.shipped_bank(subject))  # doctest: +SKIP
        http://127.0.0.1:45123/m1oTgQ.../
    """
    need("starlette", "app")
    uvicorn = need("uvicorn", "app")
    require_same_subject(bank, subject)
    from emotion_interp.app.server import application

    token = secrets.token_urlsafe(TOKEN_BYTES)
    with listening(port) as bound:
        number = bound.getsockname()[1]
        hosts = frozenset(f"{name}:{number}" for name in (LOOPBACK, "localhost"))
        app = application(subject, bank, token, hosts, origin or Origin())
        settings = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        address = f"http://{LOOPBACK}:{number}/{token}/"
        # a bar would be drawn where the server was started
        before = SHOWN.set(False)
        tell(address)
        if open_browser:
            webbrowser.open(address)
        try:
            uvicorn.Server(settings).run(sockets=[bound])
        finally:
            SHOWN.reset(before)


def listening(port: int) -> socket.socket:
    """A socket that listens at a port of the loopback address.

    Raises:
        EmotionInterpError: no such port, or it is taken.
    """
    if not 0 <= port < 65536:
        raise EmotionInterpError(f"a port is a number from 1 to 65535, or 0 for a free one; got {port}.")
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # elsewhere the option would let two servers have one port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        # from now on a browser waits instead of being turned away
        bound.listen()
    except OSError as error:
        bound.close()
        raise EmotionInterpError(
            f"port {port} cannot be used ({error.strerror}); give another one, or 0 for a free one."
        ) from None
    return bound
