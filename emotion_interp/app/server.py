"""The routes of the live page: its files, its questions, and the stream of what is being written."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from emotion_interp.app.asked import MOST_BYTES, ReadFeature, ReadText, ReadToken, Write, question
from emotion_interp.app.guard import Application, Guard
from emotion_interp.app.reading import Reader
from emotion_interp.app.snippets import Origin, writing_code
from emotion_interp.app.writing import OneAtATime, Writing
from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from emotion_interp.bank import FeatureBank
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


# Long: the pages and what each answers share the subject and its lock.
def application(subject: Subject, bank: FeatureBank, token: str, hosts: frozenset[str], origin: Origin) -> Application:
    """The page as an ASGI application.

    Args:
        subject: the model.
        bank: its bank.
        token: without which nothing is answered.
        hosts: names that the server may be called by, with its port.
        origin: where subject and bank came from.
    """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    reader, slot, shown = Reader(subject, bank, origin), OneAtATime(), page_files()
    # the model runs one pass at a time anyway; more threads would only queue in front of it
    turn = asyncio.Lock()

    def answered(kind: type[Any] | None, answer: Callable[..., Mapping[str, object]]) -> Any:
        async def endpoint(request: Request) -> Response:
            asked = [] if kind is None else [question(kind, await body_of(request))]
            async with turn:
                return JSONResponse(await asyncio.to_thread(answer, *asked))

        return endpoint

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name not in shown:
            return Response("no such file\n", 404, media_type="text/plain")
        content, kind = shown[name]
        return Response(content, media_type=kind)

    async def write(request: Request) -> Response:
        asked = question(Write, await body_of(request))
        loop, events = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Mapping[str, object]]]()

        def send(name: str, value: Mapping[str, object]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, (name, value))

        writing = await asyncio.to_thread(Writing, subject, bank, asked, send)
        await asyncio.to_thread(slot.begin, writing)

        async def told() -> AsyncIterator[str]:
            code = writing_code(origin, asked, writing.doses)
            yield event("begun", {"python": code, "doses": writing.doses})
            try:
                while True:
                    name, value = await events.get()
                    yield event(name, value)
                    if name in ("done", "failed"):
                        return
            finally:
                # also where the browser has gone away
                writing.stop(wait=False)

        return StreamingResponse(told(), media_type="text/event-stream")

    async def stop(request: Request) -> Response:
        await body_of(request)
        return JSONResponse({"stopped": await asyncio.to_thread(slot.stop)})

    def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, EmotionInterpError):
            status = 413 if isinstance(error, TooLong) else 400
            return JSONResponse({"error": " ".join(str(error).split())}, status)
        logging.getLogger(__name__).error("%s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse({"error": f"something failed: {type(error).__name__}: {' '.join(str(error).split())}"}, 500)

    asked_by_post: dict[str, Any] = {
        "read": answered(ReadText, reader.text),
        "token": answered(ReadToken, reader.token),
        "card": answered(ReadFeature, reader.card),
        "write": write,
        "stop": stop,
    }
    routes = [
        Route("/", file, methods=["GET"]),
        Route("/page/{name}", file, methods=["GET"]),
        Route("/facts", answered(None, reader.facts), methods=["GET"]),
        *(Route(f"/{name}", endpoint, methods=["POST"]) for name, endpoint in asked_by_post.items()),
    ]
    made: Any = Starlette(routes=routes, exception_handlers={EmotionInterpError: failed, Exception: failed})
    return Guard(made, token, hosts)


def event(name: str, value: Mapping[str, object]) -> str:
    """One server-sent event.

    Example:
        >>> event("piece", {"row": 1, "text": "joy"})
        'event: piece\\ndata: {"row": 1, "text": "joy"}\\n\\n'
    """
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n"
