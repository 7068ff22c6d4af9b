"""A headless Chromium, spoken to over the DevTools pipe: no driver and no websocket library is needed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BINARY = next((p for n in ("chromium", "chromium-browser", "google-chrome", "chrome") if (p := shutil.which(n))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
# what Chromium answers to a question that was on its way while the page went to another address
LEFT = ("navigated or closed", "context was destroyed", "Cannot find context", "Cannot find default execution context")


class LeftPageError(Exception):
    """The page that was asked is gone: it went to another address meanwhile."""


class Page:
    """One tab: commands go out on descriptor 3, answers and events come back on descriptor 4, NUL-terminated."""

    def __init__(self, profile: Path) -> None:
        assert BINARY is not None
        # the browser reads descriptor 3 and writes descriptor 4
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()

        def descriptors() -> None:
            spare_in, spare_out = os.dup(child_in), os.dup(child_out)
            os.dup2(spare_in, 3)
            os.dup2(spare_out, 4)

        self._process = subprocess.Popen(
            [BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=descriptors,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)
        self._buffer, self._count, self._session = b"", 0, ""
        self.problems: list[str] = []
        self.requests: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        tab = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser did not answer in time")
            block = os.read(self._in, 1 << 20)
            if not block:
                raise ConnectionError("the browser closed its pipe")
            self._buffer += block
        raw, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(raw)

    def _note(self, event: dict[str, Any]) -> None:
        method, given = event.get("method", ""), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.problems.append(f"dialog: {given['message']}")
            # nothing in the page is answered while it is open; its own answer belongs to no call
            closing = {"id": 10**9, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}}
            os.write(self._out, json.dumps(closing | {"sessionId": self._session}).encode() + b"\0")
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(given["exceptionDetails"])[:600])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert"):
            self.problems.append(json.dumps(given["args"])[:600])
        elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.problems.append(json.dumps(given["entry"])[:600])

    def call(self, method: str, seconds: float = 60, **params: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self._count:
                if any(part in str(answer.get("error")) for part in LEFT):
                    raise LeftPageError(str(answer["error"]))
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, place: Path | str, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Load a file or an address at a viewport size; the lists of problems and requests start afresh."""
        self.problems.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        url = place if isinstance(place, str) else place.as_uri()
        self.call("Page.navigate", url=url)
        start = json.dumps(url.partition(":")[0])
        self.wait_for(f"document.readyState === 'complete' && location.href.startsWith({start})", 60)

    def wait_for(self, expression: str, seconds: float = 30, pause: float = 0.05) -> None:
        """Wait until a JavaScript expression is true; asked of a page that was left meanwhile, it is asked again."""
        deadline = time.monotonic() + seconds
        while not self._holds(expression):
            assert time.monotonic() < deadline, f"never true: {expression}; {self.problems}"
            time.sleep(pause)

    def _holds(self, expression: str) -> bool:
        with contextlib.suppress(LeftPageError):
            return bool(self.evaluate(f"!!({expression})"))
        return False

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        os.close(self._in)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if BINARY is None:
        pytest.skip("no Chromium on this machine")
    opened = Page(tmp_path_factory.mktemp("chromium-profile"))
    yield opened
    opened.close()
