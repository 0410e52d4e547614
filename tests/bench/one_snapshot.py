"""One snapshot in a process of its own, which may be killed and whose memory can be told.

`python -m tests.bench.one_snapshot FILE`: FILE is a JSON object with `run` (a SnapshotRunFile) and
`shard_limit` in bytes; the keys of the store come from the environment. Prints a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.measure import peak_mib
from trainyard.api.run import SnapshotRunFile
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.snapshot import make_snapshot
from trainyard.stores import open_store
from trainyard_local.s3 import S3Server

ROOT = Path(__file__).parents[2]


def start(server: S3Server, file: Path, document: dict[str, Any]) -> subprocess.Popen[str]:
    """Start it as a child with a document of its own; its output is the child's `stdout`."""
    file.write_text(json.dumps(document))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.one_snapshot", str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "TMPDIR": tempfile.gettempdir(),
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
        },
    )


def parts_of(server: S3Server, bucket: str, output: str) -> int:
    """Number of parts that an unfinished snapshot has put below `output` of a bucket."""
    return len(list((server.folder / "objects" / bucket / output).glob("partial/*/*.gz")))


def kill_at(
    server: S3Server, file: Path, document: dict[str, Any], bucket: str, output: str, parts: int
) -> None:
    """Start it and kill it with SIGKILL once so many parts are there."""
    child = start(server, file, document)
    while parts_of(server, bucket, output) < parts:
        if child.poll() is not None:
            raise RuntimeError(f"it ended before part {parts}: choose smaller shards")
        time.sleep(0.005)
    child.kill()
    child.wait()


def main(file: Path) -> None:
    """Make the snapshot and say what it was and what it took."""
    document = json.loads(file.read_text())
    run = SnapshotRunFile.model_validate(document["run"])
    told: list[str] = []
    began = time.perf_counter()
    store = open_store(run.store)
    made = make_snapshot(
        store,
        run,
        lambda *words: told.append(words[2]) if len(told) < 100 else None,
        shard_limit=document["shard_limit"],
    )
    seconds = time.perf_counter() - began
    found = {
        "digest": read_snapshot(store, made.location).digest,
        "location": made.location,
        "samples": made.samples,
        "seconds": seconds,
        "peak_mib": peak_mib(),
        "told": told,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
