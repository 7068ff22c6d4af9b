"""Parquet files, read only where their rows and their size in memory are bearable: the footer first, then row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.reading import regular_file, said

if TYPE_CHECKING:
    import pandas as pd

LARGEST_TABLE = 1 << 30
"""Bytes that a table may take when it is unpacked."""

MOST_ROWS = 50_000_000
_BATCH = 16_384


def read_parquet(path: str | Path, largest: int = LARGEST_TABLE, most_rows: int = MOST_ROWS) -> pd.DataFrame:
    """A parquet file as a frame.

    Raises:
        FileFormatError: no regular file, no parquet file, damaged, or one that would fill the memory.
    """
    place = regular_file(path)
    try:
        with pq.ParquetFile(place) as footer:
            metadata = footer.metadata
            schema = footer.schema_arrow
        groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if not 0 <= metadata.num_rows <= most_rows or not 0 <= size <= largest:
            raise FileFormatError(
                f"{path} has {metadata.num_rows:,} rows and {size:,} bytes when it is unpacked; at most {most_rows:,} and "
                f"{largest:,} are read."
            )
        if sum(group.num_rows for group in groups) != metadata.num_rows:
            raise ValueError("its parts have another number of rows than it says")
        # long values that repeat are small in the file: they are kept apart until their size is known
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        size = 0
        with pq.ParquetFile(place, read_dictionary=texts) as file:
            batches = []
            for batch in file.iter_batches(_BATCH):
                size += sum(map(_unpacked, batch.columns))
                if size > largest:
                    raise FileFormatError(f"{path} unpacks to more than {largest:,} bytes; it is not read.")
                batches.append(batch)
        table = pa.Table.from_batches(batches, batches[0].schema) if batches else schema.empty_table()
        return table.cast(schema).to_pandas()
    except FileFormatError:
        raise
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, RuntimeError, pa.ArrowException) as error:
        raise FileFormatError(f"{path} cannot be read as a parquet file: {said(error)}.") from error


def _unpacked(column: pyarrow.ChunkedArray) -> int:
    """Bytes of a column, repeated values counted as often as they occur."""
    pc = pyarrow.compute
    if not pa.types.is_dictionary(column.type):
        return column.nbytes
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return int(pc.sum(lengths).as_py() or 0) + 8 * len(column)
