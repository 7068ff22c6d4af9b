"""What stands before every answer: the token of the address, the name the page was called by, the size of what is sent."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer. Styles may stand in an element (cards colour their tokens); scripts come from this server alone."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application before another one.

    Refused with 403 is whoever does not know the token, calls the server by another name than its own (a page elsewhere
    whose name was made to mean this machine), or asks from another page.

    Args:
        inner: what answers, below the token's path.
        token: the first part of every path.
        hosts: what the server may be called, with its port.
    """

    def __init__(self, inner: Application, token: str, hosts: frozenset[str]) -> None:
        self.inner, self.token, self.hosts = inner, token, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.encode(): value.encode() for name, value in HEADERS.items()}
                message["headers"] = [
                    *((n, v) for n, v in message.get("headers", ()) if n.lower() not in own),
                    *own.items(),
                ]
            await send(message)

        reason = self._refusal(scope)
        if reason:
            await _say(send_with_headers, 403, reason)
            return
        path = "/" + scope["path"].split("/", 2)[2] if scope["path"].count("/") > 1 else ""
        if not path:
            # without the slash at its end the page's own addresses would lead nowhere
            await _say(send_with_headers, 307, "", location=f"/{self.token}/")
            return
        await self.inner({**scope, "path": path, "raw_path": path.encode()}, receive, send_with_headers)

    def _refusal(self, scope: Message) -> str:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "").lower() not in self.hosts:
            return "this server answers to its own address alone."
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in self.hosts}:
            return "this server answers to its own page alone."
        given = scope["path"].split("/", 2)[1]
        # compared in a time that tells nothing of the token
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return "the address lacks its token: use the one that was printed when the server started."
        return ""


async def _say(send: Send, status: int, line: str, **headers: str) -> None:
    extra = [(name.encode(), value.encode()) for name, value in headers.items()]
    body = f"{line}\n".encode()
    kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *extra]})
    await send({"type": "http.response.body", "body": body})
