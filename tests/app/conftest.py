"""A live page on a tiny random subject."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live_page import Live, running


@pytest.fixture(scope="session")
def live(tiny_subject, tiny_bank) -> Iterator[Live]:
    with running(tiny_subject, tiny_bank) as page:
        yield page
