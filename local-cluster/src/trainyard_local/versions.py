"""Which version a ready program has, and whether the cluster can work with it."""

import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from trainyard_local.components import HELM, KUBERNETES, VERSITYGW, Module, required_version
from trainyard_local.errors import LocalClusterError

ETCD = "go.etcd.io/etcd/server/v3"
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)\b")
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "kubectl": ("version", "--client"),
    "helm": ("version", "--short"),
}
ANSWER_S = 30.0


def wanted(name: str) -> str:
    """Version of a program that the committed modules name, as in ``v1.37.2``.

    Parameters
    ----------
    name : str
        Program name, of ``components.NAMES``.
    """
    module: Module = {"helm": HELM, "versitygw": VERSITYGW}.get(name, KUBERNETES)
    text = (module.folder / "go.mod").read_text(encoding="utf-8")
    return required_version(text, ETCD if name == "etcd" else module.requirement)


def refusal(name: str, path: Path) -> str:
    """Why a program that the user has cannot be used; empty when it can.

    The patch release may be another; for etcd, Helm and the S3 server the minor one too.

    Parameters
    ----------
    name : str
        Program name, of ``components.NAMES``.
    path : Path
        The program.

    Returns
    -------
    str
        Part of a sentence, as in ``is v1.31.0, but v1.37 is needed``.
    """
    version = parse(wanted(name))
    if version is None:
        raise LocalClusterError(f"the go.mod names {wanted(name)} for {name}: name a release")
    status = path.stat()
    said = _said(name, path, status.st_mtime_ns, status.st_size)
    if said is None:
        return "does not tell its version"
    loose = name in {"etcd", "helm", "versitygw"}
    parts = 1 if loose else 2
    if said[:parts] == version[:parts]:
        return ""
    text = ".".join(map(str, said))
    return f"is v{text}, but v{'.'.join(map(str, version[:parts]))} is needed"


def parse(text: str) -> tuple[int, int, int] | None:
    """The first version that a text names.

    Parameters
    ----------
    text : str
        What a program prints of itself.

    Returns
    -------
    tuple of int or None
        Major, minor and patch; None when it names none.
    """
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


# A program is asked once, unless it was replaced meanwhile.
@lru_cache
def _said(name: str, path: Path, _changed: int, _size: int) -> tuple[int, int, int] | None:
    try:
        done = subprocess.run(
            [path, *_ARGUMENTS.get(name, ("--version",))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(done.stdout) if done.returncode == 0 else None
