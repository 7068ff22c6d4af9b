"""Parts of a frame by the shape they have, which pandas' own annotations leave open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def rows_where(frame: pd.DataFrame, which: pd.Series | np.ndarray | Sequence[str] | Sequence[bool]) -> pd.DataFrame:
    """The rows of a mask, or the columns of a list of names: a frame either way."""
    return cast("pd.DataFrame", frame[which])
