"""The base image: a minimal Debian with Python, where no registry offers one."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.buildah import DETACHED, Buildah, last_line
from trainyard_local.images.layers import pack
from trainyard_local.images.layout import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    TAG,
    Layout,
)
from trainyard_local.progress import Reporter

SUITE = "trixie"
NAME = f"localhost/trainyard-base:{SUITE}"
MIRROR = "http://deb.debian.org/debian"
INCLUDE = ("ca-certificates", "python3", "python3-venv")
NOT_NEEDED = (
    "dev",  # the runtime makes its own
    "proc",
    "sys",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
)
"""Folders that the image has empty."""

RECIPE = hashlib.sha256(repr((SUITE, INCLUDE, NOT_NEEDED)).encode()).hexdigest()


def known_base(folder: Path) -> str | None:
    """Digest of the base image that was made last, or None when its recipe has changed.

    Parameters
    ----------
    folder : Path
        Where the image's record is kept.
    """
    record = folder / "base.json"
    if not record.exists():
        return None
    made = json.loads(record.read_bytes())
    return str(made["digest"]) if made["recipe"] == RECIPE else None


def ensure_base(buildah: Buildah, folder: Path, reporter: Reporter) -> str:
    """Make the base image unless buildah has it.

    Parameters
    ----------
    buildah : Buildah
        Where the image goes, named `NAME`.
    folder : Path
        Where the image's record is kept; worked in, too.
    reporter : Reporter
        Told what takes long.

    Returns
    -------
    str
        Digest of the base image's manifest.

    Raises
    ------
    LocalClusterError
        When the packages cannot be had or the disk is full.
    """
    known = known_base(folder)
    if known and buildah.has(NAME):
        return known
    record = folder / "base.json"
    record.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    with reporter.step(f"installing Debian {SUITE} with Python as the images' base", 80):
        _debootstrap(buildah, root)
    for name in NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    layout = Layout(folder / "layout")
    shutil.rmtree(layout.root, ignore_errors=True)
    with reporter.step("packing the images' base", 10):
        digest = _pack(root, layout)
        shutil.rmtree(root)
        # A path in full would become the image's name, which must not have a dot after a slash.
        pull = ["pull", *buildah.policy, "-q", f"oci:{layout.root.name}:{SUITE}"]
        image = buildah.call("base", pull, cwd=folder)
        buildah.call("base", ["tag", image.strip(), NAME])
        shutil.rmtree(layout.root)
    record.write_text(json.dumps({"recipe": RECIPE, "digest": digest}), encoding="utf-8")
    return digest


def _debootstrap(buildah: Buildah, root: Path) -> None:
    log = buildah.logs / "debootstrap.log"
    tools = buildah.tools
    keyring = tools.root / "usr/share/keyrings/debian-archive-keyring.gpg"
    command = ["debootstrap", "--variant=minbase", f"--keyring={keyring}"]
    command += [f"--include={','.join(INCLUDE)}", SUITE, str(root), MIRROR]
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [*DETACHED, "nice", *command],
            env=tools.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise LocalClusterError(
            f"debootstrap of Debian {SUITE} failed: {last_line(log)}; the whole output is in {log}"
        )


def _pack(root: Path, layout: Layout) -> str:
    layout.write_index([])
    unfinished = layout.root / "layer.tar"
    with unfinished.open("wb") as target:
        layer = pack(root, "", target)
    layout.blob(layer.digest).parent.mkdir(parents=True, exist_ok=True)
    unfinished.rename(layout.blob(layer.digest))
    config = {
        "created": "1970-01-01T00:00:00Z",
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        "history": [
            {"created": "1970-01-01T00:00:00Z", "created_by": f"debootstrap minbase {SUITE}"}
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layout.write(config, CONFIG_TYPE),
        "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}],
    }
    descriptor = layout.write(manifest, MANIFEST_TYPE)
    layout.write_index([{**descriptor, "annotations": {TAG: SUITE}}])
    return str(descriptor["digest"])


def _architecture() -> str:
    # Debian and OCI give the architectures the same names.
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
