"""A running containerd, by its own command line."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError

NAMESPACE = "k8s.io"
"""Where the kubelet looks."""

SNAPSHOTTER = "overlayfs"


@dataclass(frozen=True)
class Containerd:
    """A running containerd.

    Attributes
    ----------
    socket : Path
        Where it listens.
    ctr : str
        Its command line, a name or a path.
    """

    socket: Path
    ctr: str = "ctr"

    def call(self, *arguments: str, stdin: Path | None = None) -> str:
        """Run ctr.

        Parameters
        ----------
        *arguments : str
            Command and options.
        stdin : Path or None
            File to read from.

        Returns
        -------
        str
            Its standard output.

        Raises
        ------
        LocalClusterError
            When it fails.
        """
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise LocalClusterError(
                f"`ctr {' '.join(arguments[:2])}` on {self.socket} failed: "
                f"{lines[-1] if lines else 'no message'}"
            )
        return done.stdout

    def attempt(
        self, *arguments: str, stdin: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ctr, whatever comes of it.

        Parameters
        ----------
        *arguments : str
            Command and options.
        stdin : Path or None
            File to read from.

        Returns
        -------
        CompletedProcess
            With what it printed, as text.

        Raises
        ------
        LocalClusterError
            When there is no such program.
        """
        command = [self.ctr, "--address", str(self.socket), "--namespace", NAMESPACE, *arguments]
        try:
            with (stdin or Path(os.devnull)).open("rb") as source:
                return subprocess.run(
                    command, stdin=source, capture_output=True, text=True, check=False
                )
        except FileNotFoundError as error:
            raise LocalClusterError(
                f"there is no program {self.ctr}: name containerd's ctr with --ctr"
            ) from error

    def snapshots(self, *arguments: str) -> list[str]:
        """Arguments of a command about snapshots.

        Parameters
        ----------
        *arguments : str
            The command.
        """
        return ["snapshots", "--snapshotter", SNAPSHOTTER, *arguments]

    def images(self) -> dict[str, str]:
        """Images by name, with the digests of their manifests."""
        return parse_images(self.call("images", "ls"))


def parse_images(listing: str) -> dict[str, str]:
    """Read what ``ctr images ls`` prints.

    Parameters
    ----------
    listing : str
        A heading, then lines of name, media type, digest and more.

    Returns
    -------
    dict of str to str
        Name to digest.
    """
    rows = (line.split() for line in listing.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}


def snapshot_folder(mounts: str) -> Path:
    """Folder that holds the files of an active snapshot.

    Parameters
    ----------
    mounts : str
        What ``ctr snapshots mounts`` prints: a bind mount for a snapshot without a parent.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    LocalClusterError
        When it is no bind mount.
    """
    words = mounts.split()
    if words[:3] != ["mount", "-t", "bind"] or len(words) < 5:
        raise LocalClusterError(
            f"containerd mounts a fresh snapshot by `{mounts.strip()}`, not by a bind mount: its "
            f"snapshotter must be {SNAPSHOTTER}"
        )
    return Path(words[3])


def outdated(images: Mapping[str, str], repository: str, keep: frozenset[str]) -> list[str]:
    """Names of a repository's images that a node need not keep.

    Parameters
    ----------
    images : Mapping of str to str
        Names to digests.
    repository : str
        Name without tag and digest.
    keep : frozenset of str
        Tagged names to keep; what has the digest of one of them is kept too.

    Returns
    -------
    list of str
        Sorted. The kubelet's interface names every image by its config's digest as well; while one
        name is left, so is the image.
    """
    kept = {digest for name, digest in images.items() if name in keep}
    ours = (f"{repository}:", f"{repository}@")
    old = {digest for name, digest in images.items() if name.startswith(ours)} - kept
    names = (*ours, "sha256:")
    return sorted(n for n, digest in images.items() if digest in old and n.startswith(names))
