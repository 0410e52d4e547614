"""Mounts below a folder, found and removed."""

import ctypes
import os
import re
from pathlib import Path

from trainyard_local.errors import LocalClusterError

_MNT_DETACH = 2
_OCTAL = re.compile(r"\\([0-7]{3})")


def parse_mountinfo(text: str) -> list[Path]:
    """Mount points in the order in which they were mounted.

    Parameters
    ----------
    text : str
        Of /proc/self/mountinfo.
    """
    points = []
    for line in text.splitlines():
        escaped = line.split(" ")[4]
        points.append(Path(_OCTAL.sub(lambda found: chr(int(found.group(1), 8)), escaped)))
    return points


def below(folder: Path, points: list[Path]) -> list[Path]:
    """Mount points in a folder, in the order in which they can be unmounted.

    Parameters
    ----------
    folder : Path
        Itself not a mount point of ours.
    points : list of Path
        All mount points in mounting order.
    """
    return [point for point in reversed(points) if folder in point.parents]


def unmount_below(folder: Path) -> list[Path]:
    """Unmount everything in a folder, detaching what is still in use.

    Parameters
    ----------
    folder : Path
        The folder; with its symbolic links resolved, as the kernel shows it.

    Returns
    -------
    list of Path
        What was unmounted.
    """
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    found = below(folder.resolve(), parse_mountinfo(text))
    library = ctypes.CDLL(None, use_errno=True)
    for point in found:
        if library.umount2(os.fsencode(point), _MNT_DETACH) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise LocalClusterError(f"{point} cannot be unmounted: {reason}")
    return found
