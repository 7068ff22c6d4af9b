"""Who is answered: this machine's own page with its token, and nobody else."""

from __future__ import annotations

import json
import socket

import pytest

from emotion_interp.app.asked import MOST_BYTES
from emotion_interp.app.serve import listening
from emotion_interp.core.errors import EmotionInterpError
from tests.live_page import TOKEN


@pytest.mark.parametrize(
    "path", ["/", "/wrong/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/facts", "//facts", f"/x/{TOKEN}/", "/%00/"]
)
def test_without_the_token_nothing_is_told(live, path):
    answer = live.open("GET", path)
    line = answer.read().decode()
    assert answer.status == 403
    assert len(line.splitlines()) == 1 and "token" in line and TOKEN not in line


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(live, host):
    answer = live.open("GET", f"/{TOKEN}/facts", Host=host.format(port=live.port))
    assert answer.status == 403 and b"address" in answer.read()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_a_question_from_another_page_is_refused(live, origin):
    answer = live.open("POST", f"/{TOKEN}/stop", b"{}", Origin=origin.format(port=live.port))
    assert answer.status == 403 and b"own page" in answer.read()


def test_its_own_page_is_answered(live):
    answer = live.open("POST", f"/{TOKEN}/stop", b"{}", Origin=f"http://127.0.0.1:{live.port}")
    assert answer.status == 200 and json.loads(answer.read()) == {"stopped": False}


def test_the_address_without_its_slash_leads_to_the_page(live):
    answer = live.open("GET", f"/{TOKEN}")
    assert (answer.status, answer.getheader("location")) == (307, f"/{TOKEN}/")


def test_every_answer_forbids_other_sources(live):
    for path in (f"/{TOKEN}/", f"/{TOKEN}/page/page.js", f"/{TOKEN}/facts", f"/{TOKEN}/nothing", "/wrong/"):
        answer = live.open("GET", path)
        policy = answer.getheader("content-security-policy") or ""
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "connect-src 'self'" in policy
        assert answer.getheader("referrer-policy") == "no-referrer"
        assert answer.getheader("cache-control") == "no-store"
        assert answer.getheader("access-control-allow-origin") is None


@pytest.mark.parametrize(
    "name", ["../asked.py", "%2e%2e/asked.py", "..%2fasked.py", "nothing.js", "page.html/..", "__init__.py"]
)
def test_no_other_file_is_given(live, name):
    answer = live.open("GET", f"/{TOKEN}/page/{name}")
    assert answer.status == 404 and b"import" not in answer.read()


def test_a_long_body_is_refused_before_it_is_whole(live):
    status, value = live.ask("read", json.dumps({"text": "x" * MOST_BYTES}).encode())
    assert status == 413 and str(MOST_BYTES) in value["error"]


def test_it_listens_on_the_loopback_address_alone(live):
    with listening(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said(live):
    with pytest.raises(EmotionInterpError, match=rf"port {live.port} cannot be used .*another one, or 0"):
        listening(live.port)
    with pytest.raises(EmotionInterpError, match="from 1 to 65535"):
        listening(70000)


def test_a_websocket_is_closed(live):
    with socket.create_connection(("127.0.0.1", live.port), 10) as wire:
        lines = [f"GET /{TOKEN}/ HTTP/1.1", f"Host: 127.0.0.1:{live.port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
        wire.sendall("\r\n".join(lines).encode())
        # refused, or taken for an ordinary request where no websocket library is installed: never opened
        assert b" 101 " not in wire.recv(200).split(b"\r\n")[0]
