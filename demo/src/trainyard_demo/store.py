"""The demo's bucket: made once, filled once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from trainyard_demo.data.prepare import Prepared
from trainyard_demo.errors import DemoError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "trainyard"
PREFIX = "examples"
"""The datasets under ``examples/`` name this prefix."""
MARKER = "examples.sha256"
"""Object that says which data was uploaded whole."""
THREADS = 8


def ensure_bucket(client: "S3Client") -> None:
    """Have the bucket.

    Parameters
    ----------
    client : S3Client
        Of an account that may create buckets.

    Raises
    ------
    DemoError
        If the store does not answer or refuses.
    """
    try:
        names = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        if BUCKET not in names:
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise DemoError(f"the bucket {BUCKET} cannot be made: {error}") from None


def upload(client: "S3Client", data: Prepared, advance: Callable[[int], None]) -> bool:
    """Have the data in the bucket, exactly.

    Parameters
    ----------
    client : S3Client
        Of an account that may write to the bucket.
    data : Prepared
        What to upload.
    advance : callable
        Told how many files are there so far.

    Returns
    -------
    bool
        False when the same data was there already.

    Raises
    ------
    DemoError
        If the store does not answer or refuses.
    """
    try:
        if _marker(client) == data.digest:
            return False
        client.delete_object(Bucket=BUCKET, Key=MARKER)
        _remove_others(client, {f"{PREFIX}/{name}" for name in data.files})
        with ThreadPoolExecutor(THREADS) as pool:
            sent = pool.map(lambda name: _put(client, data.folder, name), data.files)
            for done, _ in enumerate(sent, start=1):
                advance(done)
        # Last: an upload that was interrupted is done again.
        client.put_object(Bucket=BUCKET, Key=MARKER, Body=data.digest.encode())
    except (BotoCoreError, ClientError) as error:
        raise DemoError(f"the data cannot be uploaded to the bucket {BUCKET}: {error}") from None
    return True


def _marker(client: "S3Client") -> str | None:
    try:
        return client.get_object(Bucket=BUCKET, Key=MARKER)["Body"].read().decode()
    except client.exceptions.NoSuchKey:
        return None


def _put(client: "S3Client", folder: Path, name: str) -> None:
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=(folder / name).read_bytes())


def _remove_others(client: "S3Client", wanted: set[str]) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
    for page in pages:
        extra = [item["Key"] for item in page.get("Contents", []) if item["Key"] not in wanted]
        if extra:
            client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in extra], "Quiet": True}
            )
