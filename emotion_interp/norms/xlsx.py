"""Reading the cells of an Excel workbook: under its old name."""

from emotion_interp.core.workbooks import read_xlsx

__all__ = ["read_xlsx"]
