"""buildah out of unpacked packages, with all of its state and configuration in the cache."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.packages import unpack

PACKAGES = ("buildah", "debootstrap", "debian-archive-keyring")
CERTIFICATES = Path("/etc/ssl/certs")

DETACHED = (
    # Ends with this process, however that ends ...
    *("setpriv", "--pdeathsig", "KILL"),
    # ... and takes its children and mounts along, so that nothing is left of a killed build.
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""Prefix of a command that makes mounts."""

WITH_LIBRARIES = ("sh", "-c", 'mount --bind "$0" /etc/ld.so.cache && exec "$@"')
"""Prefix, below `DETACHED`, of a program that finds its libraries by the cache file named next.

buildah starts itself again without the environment, so that LD_LIBRARY_PATH does not reach it. The
mount is seen by the command and its children only.
"""

LONGEST = 300
"""Characters of a program's last line that fit an error's sentence."""


@dataclass(frozen=True)
class Tools:
    """Unpacked programs.

    Attributes
    ----------
    root : Path
        Folder that stands for ``/``.
    """

    root: Path

    def ensure(self) -> None:
        """Download and unpack the packages unless they are there.

        Raises
        ------
        LocalClusterError
            When a package cannot be had.
        """
        marker = self.root / ".complete"
        wanted = " ".join(PACKAGES)
        if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
            unpack(PACKAGES, self.root)
            self._index_libraries()
            marker.write_text(wanted, encoding="utf-8")

    @property
    def library_cache(self) -> Path:
        """The machine's cache of libraries, with the unpacked ones added."""
        return self.root / "ld.so.cache"

    def _index_libraries(self) -> None:
        folders = [*self.root.glob("usr/lib/*-linux-gnu"), *self.root.glob("lib/*-linux-gnu")]
        configuration = self.root / "ld.so.conf"
        lines = ["include /etc/ld.so.conf", *map(str, folders)]
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = ["ldconfig", "-X", "-C", str(self.library_cache), "-f", str(configuration)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LocalClusterError(
                f"`ldconfig` could not index the libraries below {self.root}: {done.stderr.strip()}"
            )

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables in which the programs find one another."""
        return {
            **os.environ,
            "PATH": f"{self.root}/usr/bin:{self.root}/usr/sbin:{os.environ.get('PATH', '')}:"
            "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
            "DEBOOTSTRAP_DIR": str(self.root / "usr/share/debootstrap"),
        }


@dataclass(frozen=True)
class Buildah:
    """buildah over one folder of its own.

    Attributes
    ----------
    tools : Tools
        Where the program is.
    state : Path
        Folder of its storage and configuration.
    logs : Path
        Folder of what it prints.
    """

    tools: Tools
    state: Path
    logs: Path

    def prepare(self) -> None:
        """Write the configuration, and remove what a killed build left."""
        for name in ("storage", "run", "tmp"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        files = {
            # Nothing is ever pulled over the network; local layouts need no signature.
            "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
            "registries.conf": "unqualified-search-registries = []\n",
            "containers.conf": "[engine]\n",
            "storage.conf": f'[storage]\ndriver = "overlay"\ngraphroot = "{self.state}/storage"\n'
            f'runroot = "{self.state}/run"\n',
        }
        for name, text in files.items():
            (self.state / name).write_text(text, encoding="utf-8")
        for path in (self.state / "tmp").iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        if self.call("remove-containers", ["containers", "-q"]).strip():
            self.call("remove-containers", ["rm", "--all"])

    def call(self, log: str, arguments: Sequence[str], cwd: Path | None = None) -> str:
        """Run buildah.

        Parameters
        ----------
        log : str
            Name of the log file for what it says on standard error.
        arguments : sequence of str
            Command and options.
        cwd : Path or None
            Folder to run in.

        Returns
        -------
        str
            Its standard output.

        Raises
        ------
        LocalClusterError
            When it fails, with its last line and where the log is.
        """
        path = self.logs / f"{log}.log"
        with path.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [*self._program(), *self._options(), *arguments],
                cwd=cwd,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                check=False,
            )
        # The reason is the last thing on standard error; what it printed goes before it.
        path.write_text(done.stdout + path.read_text(encoding="utf-8"), encoding="utf-8")
        if done.returncode != 0:
            raise LocalClusterError(
                f"`buildah {arguments[0]}` failed: {last_line(path)}; the whole output is in {path}"
            )
        return done.stdout

    def has(self, image: str) -> bool:
        """Tell whether an image is in the storage.

        Parameters
        ----------
        image : str
            Name with tag.
        """
        names = self.call("list-images", ["images", "--format", "{{.Name}}:{{.Tag}}"])
        return image in names.split()

    def remove_others(self, repository: str, keep: str) -> None:
        """Remove the images of a repository but one.

        Parameters
        ----------
        repository : str
            Name without a tag.
        keep : str
            Name with tag.
        """
        names = self.call("list-images", ["images", "--format", "{{.Name}}:{{.Tag}}"]).split()
        old = [name for name in names if name.startswith(f"{repository}:") and name != keep]
        if old:
            self.call("remove-images", ["rmi", "--force", *old])

    def _program(self) -> list[str]:
        return [*DETACHED, *WITH_LIBRARIES, str(self.tools.library_cache), "nice", "buildah"]

    def _options(self) -> list[str]:
        return [
            *("--root", str(self.state / "storage"), "--runroot", str(self.state / "run")),
            *("--storage-driver", "overlay"),
            *("--registries-conf", str(self.state / "registries.conf")),
        ]

    def _environment(self) -> dict[str, str]:
        return {
            **self.tools.environment,
            "TMPDIR": str(self.state / "tmp"),
            "CONTAINERS_STORAGE_CONF": str(self.state / "storage.conf"),
            "CONTAINERS_CONF": str(self.state / "containers.conf"),
        }

    @property
    def policy(self) -> list[str]:
        """Options of the commands that check signatures."""
        return ["--signature-policy", str(self.state / "policy.json")]


def build_arguments(
    *,
    containerfile: str,
    target: str,
    tag: str,
    arguments: Mapping[str, str],
    volumes: Mapping[Path, str],
    policy: Sequence[str] = (),
) -> list[str]:
    """Command line of a build whose context is the working folder.

    Parameters
    ----------
    containerfile : str
        Path of the Containerfile.
    target : str
        Stage to stop at.
    tag : str
        Name of the result.
    arguments : Mapping
        Values of the Containerfile's ARGs.
    volumes : Mapping of Path to str
        Folder of the machine to ``PATH:OPTIONS`` in the build.
    policy : sequence of str
        Options that name the rules for signatures, of `Buildah.policy`.

    Returns
    -------
    list of str
        After the name of the program.
    """
    command = ["bud", "--isolation", "chroot", "--network", "host", "--pull-never", *policy]
    # One layer a stage; the times of files are set, so that equal inputs give equal digests.
    command += ["--layers=false", "--format", "oci", "--timestamp", "0"]
    command += ["--file", containerfile, "--target", target, "--tag", tag]
    for name, value in sorted(arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    for folder, mounted in volumes.items():
        command += ["--volume", f"{folder}:{mounted}"]
    return [*command, "."]


def certificate_volume() -> dict[Path, str]:
    """Volume of the machine's certificate authorities, for machines that have one of their own."""
    if (CERTIFICATES / "ca-certificates.crt").is_file():
        return {CERTIFICATES: f"{CERTIFICATES}:ro"}
    return {}


def last_line(log: Path) -> str:
    """Last line of a log that says something.

    Parameters
    ----------
    log : Path
        Text file.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not lines:
        return "no message"
    # buildah quotes the whole step before it tells what is wrong.
    line = lines[-1].strip()
    return line if len(line) <= LONGEST else f"... {line[-LONGEST:]}"
