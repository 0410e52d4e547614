"""Parquet files of any size."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file that is read a row group at a time: by default it would all come to be in memory.

    Raises
    ------
    pyarrow.ArrowException, OSError
        If it is none.
    """
    return pq.ParquetFile(path, pre_buffer=False)
