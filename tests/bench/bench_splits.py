"""5 million rows of train against 500,000 of dev: what is shared, and what looks alike."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.measure import compare
from tests.bench.one_check import check
from trainyard.datasets.samples import SCHEMA

TRAIN, DEV = 5_000_000, 500_000
PLANTED = 1000
"""Images of dev that train has as well; as many others look nearly like one of train."""
GROUPS = 2000
"""Groups of each split; one is the same."""
PAIRS = int(os.environ.get("BENCH_PAIRS", "3"))
_ROWS = 1 << 16


def make(folder: Path) -> None:
    """Both manifests, with one box a sample."""
    generator = np.random.default_rng(5)
    digests, looks = (
        generator.integers(0, 1 << 64, (TRAIN + DEV, 4), np.uint64, endpoint=False)
        for _ in range(2)
    )
    train, dev = slice(0, TRAIN), slice(TRAIN, TRAIN + DEV)
    digests[dev][:PLANTED] = digests[train][:PLANTED]
    # Seven bits of the look differ.
    looks[dev][PLANTED : 2 * PLANTED] = looks[train][:PLANTED]
    looks[dev][PLANTED : 2 * PLANTED, 0] ^= np.uint64(0b1111111)
    for name, rows in (("train", train), ("dev", dev)):
        write(folder / f"{name}.parquet", digests[rows], looks[rows], name, generator)


def write(
    path: Path, digests: np.ndarray, looks: np.ndarray, name: str, generator: np.random.Generator
) -> None:
    """One manifest, sorted by digest as all are."""
    order = np.argsort(digests[:, 0].byteswap())
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            numbers = generator.integers(0, GROUPS, len(rows))
            groups = np.where(
                numbers == 0, "shared", np.char.add(f"{name}-video-", numbers.astype(str))
            )
            columns = {
                "digest": raw(digests[rows]),
                "name": np.char.add(f"images/{name}/", rows.astype(str)),
                "group": groups,
                "look": raw(looks[rows]),
                "labels": boxes(generator, len(rows)),
            }
            plain = np.zeros(len(rows), np.int32)
            writer.write_table(
                pa.table(
                    [pa.array(columns.get(field.name, plain), field.type) for field in SCHEMA],
                    schema=SCHEMA,
                )
            )


def raw(words: np.ndarray) -> pa.Array:
    """uint64 [N, 4] as 32 bytes each."""
    data = pa.py_buffer(np.ascontiguousarray(words).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(words), [None, data])


def boxes(generator: np.random.Generator, count: int) -> pa.Array:
    """One box of one of 50 classes for each sample."""
    fields = list(SCHEMA.field("labels").type.value_type)
    points = pa.ListArray.from_arrays(
        np.arange(0, 4 * count + 1, 4, dtype=np.int32), generator.random(4 * count)
    )
    values = np.char.add("v", generator.integers(0, 50, count).astype(str))
    labels = pa.StructArray.from_arrays(
        [pa.array(["class"] * count), pa.array(values), pa.array(["box"] * count), points],
        fields=fields,
    )
    return pa.ListArray.from_arrays(
        np.arange(count + 1, dtype=np.int32), labels, type=SCHEMA.field("labels").type
    )


def main() -> None:
    """Make the data, check that both find what was planted, and compare."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as name:
        folder = Path(name)
        make(folder)
        peaks: dict[str, list[float]] = {"whole": [], "shared": [], "sets": []}

        def run(way: str) -> None:
            found = check(way, folder)
            peaks[way].append(found.pop("peak_mib"))
            expected = {"images": PLANTED, "groups": 1}
            if way == "whole":
                expected["alike"] = PLANTED
            if found != expected:
                raise SystemExit(f"{way} found {found}, planted was {expected}")

        sizes = f"{TRAIN:,} rows of train, {DEV:,} of dev, a process each"
        for way, what in (("shared", "digests and groups"), ("whole", "all, also looks")):
            compare(
                f"split check, {what}, against Python sets of digests and groups",
                lambda way=way: run(way),  # type: ignore[misc]
                lambda: run("sets"),
                pairs=PAIRS,
                note=sizes,
            )
        sets = median(peaks["sets"])
        for way in ("shared", "whole"):
            ours = median(peaks[way])
            print(
                f"split check, memory, {way}: ours {ours:.0f} MiB, sets {sets:.0f} MiB, "
                f"sets/ours {sets / ours:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
