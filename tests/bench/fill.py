"""Many small objects, put under a server's folder without a request for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from trainyard_local.s3 import S3Server


def fill(server: S3Server, bucket: str, prefix: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write objects where versitygw keeps them, each with the ETag that it would have.

    Parameters
    ----------
    server, bucket, prefix
        Where to; the bucket is there.
    files
        Names below the prefix, and contents.
    """
    made: set[Path] = set()
    for name, data in files:
        path = Path(bucket) / prefix / name
        object_, attributes = (server.folder / kind / path for kind in ("objects", "attributes"))
        if object_.parent not in made:
            object_.parent.mkdir(parents=True, exist_ok=True)
            made.add(object_.parent)
        object_.write_bytes(data)
        (attributes / "meta").mkdir(parents=True)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        (attributes / "meta" / "etag").write_text(f'"{digest}"')
