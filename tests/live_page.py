"""A running live page, behind a real server on a real socket, and ways to ask it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emotion_interp.app import Origin
from emotion_interp.app.serve import LOOPBACK, listening

TOKEN = "a-token-for-tests"


class Live:
    """A running page, and ways to ask it."""

    def __init__(self, port: int) -> None:
        self.port, self.address = port, f"http://{LOOPBACK}:{port}/{TOKEN}/"

    def open(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        """The raw answer, its body unread."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()

    def ask(self, path: str, question: Any = None) -> tuple[int, Any]:
        """Status and value of a question."""
        body = question if isinstance(question, bytes) else json.dumps(question).encode()
        answer = self.open(
            "GET" if question is None else "POST", f"/{TOKEN}/{path}", None if question is None else body
        )
        return answer.status, json.loads(answer.read())

    def events(self, question: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The events of a writing, as they come."""
        answer = self.open("POST", f"/{TOKEN}/write", json.dumps(question).encode())
        assert answer.status == 200, answer.read()
        name = ""
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


@contextmanager
def running(subject: Any, bank: Any) -> Iterator[Live]:
    """A page of a subject and its bank until the block ends."""
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from emotion_interp.app.server import application

    bound = listening(0)
    port = bound.getsockname()[1]
    app = application(subject, bank, TOKEN, frozenset({f"{LOOPBACK}:{port}"}), Origin())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Live(port)
    server.should_exit = True
    thread.join(60)
    bound.close()
    assert not thread.is_alive()
