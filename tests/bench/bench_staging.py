"""From the store to files on this machine: a packed snapshot against an object an image.

The images lie in a real S3 server, once as a team has them and once as a snapshot. Each way writes
every image into a file of its own. Ours verifies each by its SHA-256; the peers verify nothing.
Everything lies in memory (1.2 GB): the disk of a busy machine would be all that is measured.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from obstore.store import S3Store
from PIL import Image

from tests.bench.fill import fill
from tests.bench.measure import compare
from trainyard.api.run import SnapshotRunFile, StoreLocation
from trainyard.datasets.node_cache import NodeCache
from trainyard.datasets.samples import Sample, read_samples
from trainyard.datasets.snapshot import make_snapshot
from trainyard.datasets.staging import Shard, Staging, shards_of
from trainyard.stores import Credentials, Store, open_store
from trainyard_local.s3 import S3Server

IMAGES = 8_000
IMAGE_BYTES = 32 << 10
BUCKET = "bench"
THREADS = 16
CONCURRENT = 64
MEMORY = Path("/dev/shm")


def images() -> Iterator[tuple[str, bytes]]:
    """Small JPEG files, filled up to their size behind the picture, which readers ignore."""
    generator = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    for number in range(IMAGES):
        tail = generator.bytes(IMAGE_BYTES - len(buffer.getvalue()))
        yield f"a/{number:06d}.jpg", buffer.getvalue() + tail


def stage(store: Store, uri: str, folder: Path, cache: NodeCache | None = None) -> None:
    """As a run does, but for what an engine wants."""
    staging = Staging(store, cache)
    rows = folder / "manifest.parquet"
    shards = shards_of(uri, staging.samples(uri, rows))
    wanted: dict[Shard, list[Sample]] = {}
    for sample in read_samples(rows):
        wanted.setdefault(shards[sample.shard], []).append(sample)
    for _, sample, data in staging.images(wanted):
        (folder / f"{sample.digest.hex()}.jpg").write_bytes(data)


def with_boto3(client: Any, keys: Iterable[str], folder: Path) -> None:
    """An object a request, by threads."""

    def fetch(key: str) -> None:
        data = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        (folder / Path(key).name).write_bytes(data)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, keys))


def with_obstore(store: S3Store, keys: Iterable[str], folder: Path) -> None:
    """An object a request, by an event loop."""

    async def fetch_all() -> None:
        room = asyncio.Semaphore(CONCURRENT)

        async def fetch(key: str) -> None:
            async with room:
                reply = await store.get_async(key)
                data = await reply.bytes_async()
            (folder / Path(key).name).write_bytes(data)

        await asyncio.gather(*map(fetch, keys))

    asyncio.run(fetch_all())


def requests(server: S3Server) -> int:
    """Requests that the server has answered so far."""
    time.sleep(0.2)
    return (server.folder / "versitygw.log").read_text().count("| vgw |")


def cpu_seconds(server: S3Server, work: Callable[[], object]) -> float:
    """CPU time of this process and of the server: what no other load of the machine changes."""
    pid = json.loads((server.folder / "versitygw.pid.json").read_text())["pid"]

    def spent() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    before = spent()
    work()
    return spent() - before


def main() -> None:
    """Fill a server, then compare."""
    with (
        tempfile.TemporaryDirectory(prefix="trainyard-bench-", dir=MEMORY) as root,
        S3Server(Path(root) / "s3") as server,
    ):
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        fill(server, BUCKET, "source", images())
        keys = [f"source/a/{number:06d}.jpg" for number in range(IMAGES)]
        store = open_store(
            StoreLocation(endpoint_url=server.endpoint_url),
            Credentials(server.access_key, server.secret_key),
        )
        source = {"s3": {"bucket": BUCKET, "prefix": "source"}}
        run = {
            "name": "d",
            "namespace": "n",
            "uid": "u",
            "output": f"s3://{BUCKET}/out",
            "selections": [{"source": source, "format": "folders"}],
        }
        uri = make_snapshot(store, SnapshotRunFile.model_validate(run), lambda *_: None).location

        folder, cached = Path(root) / "staged", Path(root) / "cache"
        cached.mkdir()

        def emptied() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

        def cold() -> None:
            stage(store, uri, folder)
            if len(list(folder.glob("*.jpg"))) != IMAGES:
                raise RuntimeError("some images are missing")

        def warm() -> None:
            stage(store, uri, folder, NodeCache(cached, 1 << 40))

        pooled = _pooled(server)
        rust = S3Store(
            BUCKET,
            endpoint=server.endpoint_url,
            access_key_id=server.access_key,
            secret_access_key=server.secret_key,
            region=server.account.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=60)},
        )
        peers = {
            f"boto3 with {THREADS} threads": partial(with_boto3, pooled, keys, folder),
            f"obstore with {CONCURRENT} at once": partial(with_obstore, rust, keys, folder),
        }
        note = f"{IMAGES} images of {IMAGE_BYTES >> 10} KiB, written to files"
        emptied()
        ours = cpu_seconds(server, cold)
        for name, peer in peers.items():
            packed = compare(f"packed, against {name}", cold, peer, before=emptied, note=note)
            emptied()
            theirs = cpu_seconds(server, peer)
            print(
                f"packed, against {name}: CPU of client and server, ours {ours:.3g} s, "
                f"peer {theirs:.3g} s, peer/ours {theirs / ours:.2f}",
                flush=True,
            )
        emptied()
        warm()
        before = requests(server)
        emptied()
        warm()
        asked = requests(server) - before
        compare(
            "warm, against cold",
            warm,
            cold,
            before=emptied,
            note=f"{asked} request{'s' * (asked != 1)} when warm; the store is on this machine, "
            "so that nothing is gained by not asking it",
        )
        rate = IMAGES / packed.ours_s
        print(f"packed: {rate:.0f} images/s, {rate * IMAGE_BYTES / 1e6:.0f} MB/s")


def _pooled(server: S3Server) -> Any:
    """A client with a connection a thread; botocore's own pool of 10 would slow it down."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.account.region,
        config=Config(
            s3={"addressing_style": "path"}, proxies={}, max_pool_connections=2 * THREADS
        ),
    )


if __name__ == "__main__":
    main()
