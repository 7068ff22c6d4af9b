"""The routes of the live page: its files, its questions, and the stream of what is being written."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from emotion_interp.app.asked import MOST_BYTES, ReadFeature, ReadText, ReadToken, Write, question
from emotion_interp.app.guard import Application, Guard
from emotion_interp.app.reading import Reader
from emotion_interp.app.snippets import Origin, writing_code
from emotion_interp.app.writing import OneAtATime, Writing
from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.core.options import Options
    from emotion_interp.subjects import Subject

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
"""Content type by the ending of a file of the page."""


def page_files() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name, each with its content type."""
    folder = files("emotion_interp.app").joinpath("page")
    return {
        file.name: (file.read_bytes(), f"{KINDS[file.name.rpartition('.')[2]]}; charset=utf-8")
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in KINDS
    }


class TooLong(EmotionInterpError):
    """A body of more bytes than any question has."""


async def body_of(request: Request) -> bytes:
    """The body of a request, read no further than a question may be long.

    Raises:
        TooLong: it is longer.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLong(f"a question has at most {MOST_BYTES} bytes.")
    return body


class LivePage:
    """The endpoints of the page; what is asked of the model is answered one question after the other.

    Args:
        subject: the model.
        bank: its bank.
        origin: where both came from.
    """

    def __init__(self, subject: Subject, bank: FeatureBank, origin: Origin) -> None:
        self.subject, self.bank, self.origin = subject, bank, origin
        self.reader, self.slot, self.files = Reader(subject, bank, origin), OneAtATime(), page_files()
        # the model runs one pass at a time anyway; more threads would only queue in front of it
        self.turn = asyncio.Lock()

    def answered(
        self, kind: type[Options] | None, answer: Callable[..., Mapping[str, object]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that answers a question of a kind (None: a bare request) with a value."""

        async def endpoint(request: Request) -> Response:
            asked = [] if kind is None else [question(kind, await body_of(request))]
            async with self.turn:
                return JSONResponse(await asyncio.to_thread(answer, *asked))

        return endpoint

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params.get("name", "page.html")
        if name not in self.files:
            return Response("no such file\n", 404, media_type="text/plain")
        content, kind = self.files[name]
        return Response(content, media_type=kind)

    async def write(self, request: Request) -> Response:
        """Two texts as a stream of events."""
        asked = question(Write, await body_of(request))
        loop, events = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Mapping[str, object]]]()

        def send(name: str, value: Mapping[str, object]) -> None:
            # the server may be gone before the text is whole
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, (name, value))

        writing = await asyncio.to_thread(Writing, self.subject, self.bank, asked, send)
        await asyncio.to_thread(self.slot.begin, writing)
        code = writing_code(self.origin, asked, writing.doses)

        async def told() -> AsyncIterator[str]:
            yield event("begun", {"python": code, "doses": writing.doses})
            try:
                name = ""
                while name not in ("done", "failed"):
                    name, value = await events.get()
                    yield event(name, value)
            finally:
                # also where the browser has gone away
                writing.stop(wait=False)

        return StreamingResponse(told(), media_type="text/event-stream")

    async def stop(self, request: Request) -> Response:
        """End what is being written."""
        await body_of(request)
        return JSONResponse({"stopped": await asyncio.to_thread(self.slot.stop)})

    @property
    def routes(self) -> list[Route]:
        """What is answered where, below the token."""
        asked_by_post: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "read": self.answered(ReadText, self.reader.text),
            "token": self.answered(ReadToken, self.reader.token),
            "card": self.answered(ReadFeature, self.reader.card),
            "write": self.write,
            "stop": self.stop,
        }
        return [
            Route("/", self.file, methods=["GET"]),
            Route("/page/{name}", self.file, methods=["GET"]),
            Route("/facts", self.answered(None, self.reader.facts), methods=["GET"]),
            *(Route(f"/{name}", endpoint, methods=["POST"]) for name, endpoint in asked_by_post.items()),
        ]


def failed(request: Request, error: Exception) -> Response:
    """One line about what went wrong; what nobody foresaw goes to the log as well."""
    line = " ".join(str(error).split())
    if isinstance(error, EmotionInterpError):
        return JSONResponse({"error": line}, 413 if isinstance(error, TooLong) else 400)
    logging.getLogger(__name__).error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": f"something failed: {type(error).__name__}: {line}"}, 500)


def application(subject: Subject, bank: FeatureBank, token: str, hosts: frozenset[str], origin: Origin) -> Application:
    """The page as an ASGI application.

    Args:
        subject: the model.
        bank: its bank.
        token: without which nothing is answered.
        hosts: names that the server may be called by, with its port.
        origin: where subject and bank came from.
    """
    page = LivePage(subject, bank, origin)
    made = Starlette(routes=page.routes, exception_handlers={EmotionInterpError: failed, Exception: failed})
    return Guard(made, token, hosts)


def event(name: str, value: Mapping[str, object]) -> str:
    """One server-sent event.

    Example:
        >>> event("piece", {"row": 1, "text": "joy"})
        'event: piece\\ndata: {"row": 1, "text": "joy"}\\n\\n'
    """
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n"
