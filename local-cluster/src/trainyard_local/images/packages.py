"""Debian packages, unpacked into a folder instead of installed: the system stays as it is."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from trainyard_local.errors import LocalClusterError

FOLLOWED = re.compile(r"^(lib|golang-github-containers-)")
"""Dependencies worth unpacking; all others (init scripts, service users) only serve to install."""

FROM_SYSTEM = frozenset({"libc6", "libgcc-s1", "libstdc++6", "libcrypt1"})
"""Libraries that must be the machine's own: a second C library does not fit its loader."""


def unpack(names: Sequence[str], folder: Path) -> None:
    """Download packages and their libraries, and unpack them.

    The lists of packages are kept below `folder`; the machine's own are neither used nor changed.

    Parameters
    ----------
    names : sequence of str
        Packages of the machine's Debian or Ubuntu release.
    folder : Path
        Where they are unpacked; emptied first.

    Raises
    ------
    LocalClusterError
        When the machine has no apt, or a package cannot be had.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise LocalClusterError(
            f"the packages {', '.join(names)} are unpacked with apt-get and dpkg, which this "
            "machine does not have: use Debian or Ubuntu"
        )
    shutil.rmtree(folder, ignore_errors=True)
    lists, downloads, archives = (folder / name for name in ("lists", "cache", "archives"))
    for path in (lists / "partial", downloads / "archives" / "partial", archives):
        path.mkdir(parents=True)
    options = [
        *("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={downloads}"),
        # Else apt drops to a user that cannot enter the home of root.
        *("-o", "APT::Sandbox::User=root", "-q"),
    ]
    _run(["apt-get", *options, "update"])
    wanted = closure(names, lambda packages: _depends(packages, options))
    _run(["apt-get", *options, "download", *wanted], cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(folder)])
    for path in (lists, downloads, archives):
        shutil.rmtree(path)


def closure(
    names: Iterable[str], depends: Callable[[Sequence[str]], Mapping[str, str]]
) -> list[str]:
    """Packages with the libraries that they need.

    Parameters
    ----------
    names : iterable of str
        Packages to start from.
    depends : callable
        Gives the ``Depends`` fields of packages by name; those without one may be left out.

    Returns
    -------
    list of str
        Sorted, `names` among them.
    """
    found: set[str] = set()
    todo = set(names)
    while todo:
        found |= todo
        fields = depends(sorted(todo))
        todo = {need for field in fields.values() for need in _followed(field)} - found
    return sorted(found)


def _followed(field: str) -> Iterable[str]:
    for group in field.split(","):
        # The first alternative is the one that Debian prefers.
        need = re.split(r"[ |(:]", group.strip(), maxsplit=1)[0]
        if FOLLOWED.match(need) and need not in FROM_SYSTEM:
            yield need


def _depends(packages: Sequence[str], options: Sequence[str]) -> dict[str, str]:
    text = _run(["apt-cache", *options, "show", "--no-all-versions", *packages])
    found = {}
    for paragraph in text.split("\n\n"):
        if name := re.search(r"^Package: (.*)$", paragraph, re.MULTILINE):
            fields = re.findall(r"^(?:Pre-)?Depends: (.*)$", paragraph, re.MULTILINE)
            found[name.group(1)] = ",".join(fields)
    return found


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise LocalClusterError(
            f"`{command[0]} {next((c for c in command[1:] if c.isalpha()), '')}` failed: "
            f"{lines[-1] if lines else 'no message'}; can this machine reach its package mirror?"
        )
    return done.stdout
