"""The smallest image: a static busybox that waits. Each pod's first container is made of it."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from trainyard_local.layout import PAUSE_IMAGE

APPLETS = ("cat", "date", "echo", "env", "httpd", "id", "ls", "nc", "sh", "sleep", "true", "wget")
"""Commands of the image beside busybox itself: it also serves to try the cluster out."""


def write_archive(busybox: Path, target: Path) -> Path:
    """Write the image as an archive that containerd imports.

    Parameters
    ----------
    busybox : Path
        A busybox that needs no library.
    target : Path
        The archive; the same bytes for the same busybox.

    Returns
    -------
    Path
        `target`.
    """
    layer = _layer(busybox.read_bytes())
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": ["/bin/busybox", "sleep", "infinity"],
                "Env": ["PATH=/bin"],
                "User": "65535:65535",
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            },
            "history": [{"created_by": "trainyard_local.pause"}],
        }
    )
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = _json([{"Config": name, "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}])
    unfinished = target.with_suffix(".new")
    with tarfile.open(unfinished, "w") as archive:
        for member, content in ((name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            _add(archive, member, content)
    unfinished.rename(target)
    return target


def _layer(busybox: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        _add(archive, "bin/busybox", busybox, 0o755)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return stream.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
