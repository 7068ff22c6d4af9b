from __future__ import annotations

import pytest

from emotion_interp.report import StudyData
from tests.report.synthetic_study import build_study


@pytest.fixture(scope="module")
def study() -> StudyData:
    return build_study()
