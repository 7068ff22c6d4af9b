"""Bars where somebody watches, lines in a log, silence where asked and where work is short."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from emotion_interp.core import progress
from emotion_interp.core.progress import ticking


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch, delay: float = 0.0) -> Terminal:
    """A terminal in place of standard error; in the test itself, since pytest changes it between fixtures and tests."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(progress, "DELAY", delay)
    return made


def test_a_function_receives_the_amounts_and_nothing_is_drawn(monkeypatch):
    terminal = watched(monkeypatch)
    seen = []
    with ticking(seen.append, 5, "reading") as tick:
        tick(2)
        # what runs inside has no bar of its own
        with ticking(None, 9, "encoding") as inner:
            inner(9)
        tick(3)
    assert seen == [2, 3] and terminal.getvalue() == ""


def test_a_bar_comes_where_work_takes_long_and_goes_again(monkeypatch):
    terminal = watched(monkeypatch)
    with ticking(None, 5, "reading") as tick:
        tick(2)
        tick(3)
    shown = terminal.getvalue()
    assert "reading" in shown and "2/5" in shown and "Warning" not in shown
    assert shown.rstrip(" ").endswith("\r"), "the bar's line is empty again"


def test_short_work_draws_nothing(monkeypatch):
    terminal = watched(monkeypatch, 60.0)
    with ticking(None, 5, "reading") as tick:
        tick(5)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("asked", [False, None])
def test_false_is_silence_and_so_is_a_shell_with_bars_of_its_own(monkeypatch, asked):
    terminal = watched(monkeypatch)
    before = progress.SHOWN.set(asked is not None)
    try:
        with ticking(asked, 5, "reading") as tick:
            tick(5)
    finally:
        progress.SHOWN.reset(before)
    assert terminal.getvalue() == ""


def test_a_log_gets_plain_lines(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "LOG_EVERY", 0.0)
    with ticking(None, 2000, "reading") as tick:
        tick(1500)
    assert log.getvalue() == "reading: 1,500 of 2,000 texts\n"


def test_in_a_kernel_lines_go_where_they_are_not_shown_on_red(monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})()
    assert progress.stream_of_news() is sys.stderr
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert progress.stream_of_news() is sys.stdout


def test_an_error_inside_takes_the_bar_away(monkeypatch):
    terminal = watched(monkeypatch)
    with pytest.raises(ValueError, match="broken"), ticking(None, 5, "reading") as tick:
        tick(1)
        raise ValueError("broken")
    assert progress.SHOWN.get() and terminal.getvalue().rstrip(" ").endswith("\r")


def test_reading_takes_false_a_function_or_nothing(tiny_subject):
    from emotion_interp.activations import read_units

    seen = []
    for asked in (False, True, None, seen.append):
        read_units(tiny_subject, ["She felt joy.", "He wept."], range(2), position="text", progress=asked)
    assert sum(seen) == 2
