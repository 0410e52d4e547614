"""Parquet files are read a row group at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainyard.datasets.parquet import open_parquet


def test_a_file_that_is_read_does_not_come_to_be_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    # What cannot be compressed: 32 row groups of 256 KiB.
    pq.write_table(pa.table({"x": [os.urandom(1024) for _ in range(8192)]}), path, 256)
    before, most = pa.total_allocated_bytes(), 0
    with open_parquet(path) as file:
        assert file.metadata.num_row_groups == 32
        for _ in file.iter_batches(128):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size // 4
