"""The programs of the cluster: where they are, and how they are had when they are nowhere.

Order: a folder that the user names (``TRAINYARD_BINARIES``, then ``KUBEBUILDER_ASSETS``), our
cache, the official download, the build from the committed Go modules.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard_local import downloads, versions
from trainyard_local.components import (
    MODULES,
    NAMES,
    Binary,
    Module,
    linker_flags,
    required_go,
    required_version,
    version_key,
)
from trainyard_local.errors import LocalClusterError
from trainyard_local.golang import GoToolchain, find_go
from trainyard_local.locks import exclusive
from trainyard_local.paths import Cache, cache
from trainyard_local.progress import Reporter, duration

OWN_FOLDER = "TRAINYARD_BINARIES"
"""Environment variable that names a folder of ready programs for this cluster."""

USER_FOLDERS = (OWN_FOLDER, "KUBEBUILDER_ASSETS")
"""Environment variables that name a folder of ready programs, the first winning."""

BUILD_DISK_BYTES = 9 * 10**9
"""Free disk that a cold build needs: modules 1.7 GB, build cache 5.4 GB, programs 0.7 GB."""


@dataclass(frozen=True)
class Binaries:
    """Where each program is.

    Attributes
    ----------
    paths : Mapping of str to Path
        Program name to an executable file.
    """

    paths: Mapping[str, Path]

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders to put on ``PATH``, each once."""
        return tuple(dict.fromkeys(path.parent for path in self.paths.values()))


def obtain(names: Iterable[str] = NAMES, reporter: Reporter | None = None) -> Binaries:
    """Find programs, and download or else build those that are nowhere.

    Safe to interrupt and to repeat; a second caller waits for the first.

    Parameters
    ----------
    names : iterable of str
        Program names, of ``components.NAMES``.
    reporter : Reporter or None
        Told what is downloaded and built; None prints to standard error.

    Returns
    -------
    Binaries
        All of `names`.

    Raises
    ------
    LocalClusterError
        When the folder of ``TRAINYARD_BINARIES`` does not exist or holds a program of a version
        that does not fit, and when a build fails, with the compiler's last line and where the whole
        log is.
    """
    reporter = reporter or Reporter()
    place = cache()
    wanted = frozenset(names)
    if unknown := wanted - NAMES:
        raise LocalClusterError(
            f"no program of the local cluster is called {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(NAMES))}"
        )
    for complaint in complaints(wanted, os.environ):
        reporter.say(complaint)
    found = find(wanted, place, os.environ)
    if wanted <= found.keys():
        return Binaries(found)
    with exclusive(place.locks / "binaries.lock", reporter.say):
        found = find(wanted, place, os.environ)
        if missing := wanted - found.keys():
            if failed := downloads.fetch(_homes(place, missing), reporter):
                reporter.say(f"{downloads.summary(failed)}: building instead")
                _build(frozenset(failed), place, reporter)
            found = find(wanted, place, os.environ)
    return Binaries(found)


def expected(place: Cache, environment: Mapping[str, str]) -> Binaries:
    """Where all programs are, or will be once they are built: enough to stop or to look at them.

    Parameters
    ----------
    place : Cache
        The cache to look in.
    environment : Mapping
        Environment variables, for the folders that the user names.
    """
    homes = {name: folder / name for name, folder in _homes(place, NAMES).items()}
    return Binaries(homes | find(NAMES, place, environment))


def complaints(names: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Lines about what cannot be used in the folders that the user names.

    Parameters
    ----------
    names : iterable of str
        Programs that are wanted.
    environment : Mapping
        Environment variables, for the folders that the user names.

    Raises
    ------
    LocalClusterError
        About ``TRAINYARD_BINARIES``: it is meant for this cluster and nothing else, so that what it
        holds must fit. ``KUBEBUILDER_ASSETS`` may well be meant for something else.
    """
    said = []
    for variable, folder in _user_folders(environment):
        wrong = [] if folder.is_dir() else [f"{variable}={folder} is no folder"]
        wrong += [
            f"{name} of {variable}={folder} {why}"
            for name in sorted(names)
            if _is_program(folder / name) and (why := versions.refusal(name, folder / name))
        ]
        if wrong and variable == OWN_FOLDER:
            raise LocalClusterError(f"{'; '.join(wrong)}: name another folder, or none")
        said += [f"{line}: looking elsewhere" for line in wrong]
    return said


def find(names: Iterable[str], place: Cache, environment: Mapping[str, str]) -> dict[str, Path]:
    """Find programs without downloading or building any.

    Parameters
    ----------
    names : iterable of str
        Program names.
    place : Cache
        The cache to look in.
    environment : Mapping
        Environment variables, for the folders that the user names.

    Returns
    -------
    dict of str to Path
        Those that were found; programs of the user whose version does not fit are passed over.
    """
    folders = [folder for _, folder in _user_folders(environment)]
    wanted = list(names)
    found = {}
    for name, home in _homes(place, wanted).items():
        for folder in folders:
            if _is_program(folder / name) and not versions.refusal(name, folder / name):
                found[name] = folder / name
                break
        else:
            if _is_program(home / name):
                found[name] = home / name
    return found


def module_folder(place: Cache, module: Module) -> Path:
    """Folder of a module's binaries in the cache.

    Parameters
    ----------
    place : Cache
        The cache.
    module : Module
        The module.
    """
    texts = ((module.folder / name).read_text(encoding="utf-8") for name in ("go.mod", "go.sum"))
    return place.binaries / version_key(module, *texts)


def _homes(place: Cache, names: Iterable[str]) -> dict[str, Path]:
    homes = {
        binary.name: module_folder(place, module)
        for module in MODULES
        for binary in module.binaries
    }
    return {name: homes[name] for name in names}


def _user_folders(environment: Mapping[str, str]) -> list[tuple[str, Path]]:
    named = [(key, environment[key]) for key in USER_FOLDERS if environment.get(key)]
    return [(key, Path(folder).absolute()) for key, folder in named]


def _is_program(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file()


def _build(missing: frozenset[str], place: Cache, reporter: Reporter) -> None:
    jobs = [
        (module, binary)
        for module in MODULES
        for binary in module.binaries
        if binary.name in missing
    ]
    place.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place.root).free
    if free < BUILD_DISK_BYTES:
        raise LocalClusterError(
            f"building {len(jobs)} programs needs {BUILD_DISK_BYTES / 1e9:.0f} GB of disk, but "
            f"{place.root} has {free / 1e9:.1f} GB free: free some, or point TRAINYARD_CACHE to a "
            "larger disk"
        )
    wanted_go = max(required_go(_go_mod(module)) for module, _ in jobs)
    go = find_go(place, wanted_go, reporter)
    scale = 2 / min(os.cpu_count() or 2, 8)
    total = sum(binary.estimate_s for _, binary in jobs) * scale
    reporter.say(
        f"building {len(jobs)} programs from their Go modules, about {duration(total)} in all: "
        f"{', '.join(binary.name for _, binary in jobs)}"
    )
    for number, (module, binary) in enumerate(jobs, 1):
        title = f"building {binary.name} ({number} of {len(jobs)})"
        with reporter.step(title, binary.estimate_s * scale):
            _build_one(module, binary, place, go)
    if find(NAMES, place, {}).keys() >= NAMES:
        with reporter.step("deleting Go's module and build caches"):
            go.remove_caches()


def _build_one(module: Module, binary: Binary, place: Cache, go: GoToolchain) -> None:
    folder = module_folder(place, module)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{binary.name}.unfinished"
    log = folder / f"{binary.name}.log"
    flags = linker_flags(module, required_version(_go_mod(module), module.requirement))
    command = [go.command, "build", "-trimpath", "-ldflags", flags, "-o", unfinished]
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            ["nice", *map(str, command), binary.package],
            cwd=module.folder,
            env=go.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise LocalClusterError(
            f"building {binary.name} failed: {lines[-1] if lines else 'no message'}; "
            f"the whole output is in {log}. Repeating continues where it stopped; ready programs "
            "can be named with TRAINYARD_BINARIES=FOLDER"
        )
    # Renamed at the end, so that what stands under the name always is whole.
    unfinished.rename(folder / binary.name)
    log.unlink()


def _go_mod(module: Module) -> str:
    return (module.folder / "go.mod").read_text(encoding="utf-8")
