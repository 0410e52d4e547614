"""What a checkpoint costs the training: ours uploads beside it, the peer before it goes on.

Both copy the files that the library writes in place, and put the copies with their manifest into a
real S3 server. Files of the size that a yolo11m leaves after an epoch.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.bench.measure import compare
from tests.bench.trained import run_of
from trainyard.api.report import EpochReport
from trainyard.api.run import RunFile, StoreLocation
from trainyard.stores import Credentials, open_store
from trainyard_local.s3 import S3Server
from trainyard_trainer import checkpoint
from trainyard_trainer.checkpoint import Notes
from trainyard_trainer.keeper import Keeper

FILES = ("last.pt", "best.pt")
FILE_BYTES = 40 << 20
BUCKET = "bench"
SNAPSHOT = {"name": "s", "uri": f"s3://{BUCKET}/s", "digest": "0" * 64}


def main() -> None:
    """Compare, and say what the training waits for."""
    with (
        tempfile.TemporaryDirectory(prefix="trainyard-bench-") as root,
        S3Server(Path(root) / "s3") as server,
    ):
        server.client().create_bucket(Bucket=BUCKET)
        folder = Path(root)
        files = [folder / name for name in FILES]
        for path in files:
            path.write_bytes(os.urandom(FILE_BYTES))
        store = open_store(
            StoreLocation(endpoint_url=server.endpoint_url),
            Credentials(server.access_key, server.secret_key),
        )

        def run(name: str) -> RunFile:
            document = run_of(server, {"train": SNAPSHOT, "dev": SNAPSHOT}, epochs=1000)
            return RunFile.model_validate(document | {"output": f"s3://{BUCKET}/{name}"}).sealed()

        beside = Keeper(store, run("beside"), folder / "kept", lambda *_: None, 0.0)
        history: list[EpochReport] = []

        def ours() -> None:
            history.append(EpochReport(epoch=len(history) + 1))
            beside.keep(history, files, finished=False)

        before_it = run("before")
        epochs: list[EpochReport] = []

        def peer() -> None:
            epochs.append(EpochReport(epoch=len(epochs) + 1))
            copies = folder / "copies"
            shutil.rmtree(copies, ignore_errors=True)
            copies.mkdir()
            for path in files:
                shutil.copyfile(path, copies / path.name)
            checkpoint.write_history(copies / checkpoint.HISTORY, epochs)
            notes = Notes(finished=False, earlier=())
            (copies / checkpoint.NOTES).write_text(notes.model_dump_json(by_alias=True))
            checkpoint.publish(store, before_it, copies, len(epochs), lambda: False)

        def settled() -> None:
            """No upload goes on."""
            if beside._thread is not None:
                beside._thread.join()

        found = compare(
            "a checkpoint holds the training",
            ours,
            peer,
            pairs=7,
            before=settled,
            note=f"{len(FILES)} files of {FILE_BYTES >> 20} MiB; the store is on this machine",
        )
        print(
            f"ours holds it {1 / found.ratio:.3f} of what a synchronous upload does "
            f"({1 / found.highest:.3f} to {1 / found.lowest:.3f}); the aim is 0.2 at most"
        )
        beside.close()


if __name__ == "__main__":
    main()
