"""A snapshot of many small images: memory, three kills, and its rate against plain copying.

`python -m tests.bench.bench_snapshot [IMAGES]`; 100000 by default, in about ten minutes.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import obstore
from obstore.store import S3Store
from PIL import Image

from tests.bench import one_snapshot
from tests.bench.fill import fill
from tests.bench.measure import compare
from trainyard.api.run import StoreLocation
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Credentials, open_store
from trainyard_local.s3 import S3Server

BUCKET = "bench"
COMPARED = 5000
"""Images of one run of the comparison."""
KILLED_AFTER = (1, 3, 5)
"""Numbers of parts in the store at which the snapshot is killed."""
WORKERS = 32


def images(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """JPEGs of 96 x 96 pixels and about 4 KB, each another one, in ten classes."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        coarse = generator.integers(0, 256, (24, 24, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((96, 96), Image.Resampling.BILINEAR).save(
            buffer, "JPEG", quality=85
        )
        yield f"class-{number % 10}/{number:07}.jpg", buffer.getvalue()


def document(server: S3Server, prefix: str, output: str, shard_limit: int) -> dict[str, Any]:
    """What a snapshot process is told."""
    return {
        "run": {
            "name": "bench",
            "namespace": "bench",
            "uid": "bench",
            "selections": [
                {"source": {"s3": {"bucket": BUCKET, "prefix": prefix}}, "format": "folders"}
            ],
            "output": f"s3://{BUCKET}/{output}",
            "store": StoreLocation(endpoint_url=server.endpoint_url).to_wire(),
        },
        "shard_limit": shard_limit,
    }


def snapshot(server: S3Server, folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Make one in a process of its own; returns what it says."""
    child = one_snapshot.start(server, folder / "run.json", told)
    found: dict[str, Any] = json.loads(child.communicate()[0])
    return found


def copy(server: S3Server, prefix: str, target: Path) -> None:
    """All files of a prefix to this machine's disk, many at once, and nothing else."""
    bucket = S3Store(
        BUCKET,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=server.account.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def fetch(name: str) -> None:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(obstore.get(bucket, name).bytes())

    with ThreadPoolExecutor(WORKERS) as pool:
        for page in obstore.list(bucket, prefix):
            for _ in pool.map(fetch, [entry["path"] for entry in page]):
                pass


def kills(server: S3Server, folder: Path, count: int) -> None:
    """Memory and rate of a snapshot, and whether three kills change it."""
    # Six parts or more, so that there is something to kill and to go on from.
    shard_limit = min(64 << 20, count * 5000 // 7)
    calm = snapshot(server, folder, document(server, "many", "calm", shard_limit))
    size = sum(
        shard.size_bytes
        for shard in read_snapshot(
            open_store(
                StoreLocation(endpoint_url=server.endpoint_url),
                Credentials(server.access_key, server.secret_key),
            ),
            calm["location"],
        ).shards
    )
    print(
        f"snapshot of {calm['samples']} images, {size / 1e6:.0f} MB packed: "
        f"{calm['seconds']:.0f} s, {calm['samples'] / calm['seconds']:.0f} images/s, "
        f"peak memory {calm['peak_mib']:.0f} MiB",
        flush=True,
    )
    killed = document(server, "many", "killed", shard_limit)
    for parts in KILLED_AFTER:
        one_snapshot.kill_at(server, folder / "run.json", killed, BUCKET, "killed", parts)
    last = snapshot(server, folder, killed)
    took_over = [line for line in last["told"] if line.startswith("took over")][-1]
    same = "the same digest" if last["digest"] == calm["digest"] else "ANOTHER DIGEST"
    print(
        f"killed {len(KILLED_AFTER)} times with SIGKILL and resumed: {same}; the last attempt "
        f"{took_over} and needed {last['seconds']:.0f} s, peak memory {last['peak_mib']:.0f} MiB",
        flush=True,
    )
    if last["digest"] != calm["digest"]:
        raise SystemExit(1)


def main(count: int) -> None:
    """Print the numbers."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as name:
        folder = Path(name)
        with S3Server(folder / "s3") as server:
            server.client().create_bucket(Bucket=BUCKET)
            fill(server, BUCKET, "many", images(count))
            kills(server, folder, count)
            fill(server, BUCKET, "some", images(min(count, COMPARED), seed=1))

            def clear() -> None:
                shutil.rmtree(folder / "copied", ignore_errors=True)
                for kind in ("objects", "attributes"):
                    shutil.rmtree(server.folder / kind / BUCKET / "out", ignore_errors=True)

            compare(
                "snapshot against copying",
                lambda: snapshot(server, folder, document(server, "some", "out", 64 << 20)),
                lambda: copy(server, "some", folder / "copied"),
                before=clear,
                note=f"{min(count, COMPARED)} images; the snapshot's time has the start of its "
                "process in it",
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
