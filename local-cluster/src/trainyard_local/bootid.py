"""Another boot ID for one kubelet: it sees another file where the kernel tells the machine's."""

import uuid
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.mounts import parse_mountinfo
from trainyard_local.processes import BOOT_ID
from trainyard_local.shell import run

# /proc is made private first: where it is shared, all of the machine would see the other file.
_SCRIPT = f'mount --make-private /proc && mount --bind "$0" {BOOT_ID} && exec "$@"'


def wrap(command: tuple[str, ...], boot_id: Path) -> tuple[str, ...]:
    """Command that runs in a mount namespace of its own with another boot ID.

    The process keeps its ID through all of it, and mounts in shared folders reach the machine.

    Parameters
    ----------
    command : tuple of str
        What to run.
    boot_id : Path
        File that holds the boot ID.
    """
    alone = ("unshare", "--mount", "--propagation", "unchanged")
    return (*alone, "sh", "-c", _SCRIPT, str(boot_id), *command)


def checked(boot_id: str | None) -> str:
    """A boot ID as the kernel writes it.

    Parameters
    ----------
    boot_id : str or None
        A UUID; None makes one up.

    Raises
    ------
    LocalClusterError
        When it is no UUID.
    """
    if boot_id is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(boot_id))
    except ValueError:
        raise LocalClusterError(
            f"{boot_id!r} cannot be a boot ID: give a UUID, or none to have one made"
        ) from None


def share(folder: Path) -> None:
    """Make mounts below a folder visible across namespaces; repeating is harmless.

    Parameters
    ----------
    folder : Path
        Made when missing. It becomes a mount point, which `mounts.unmount_below` removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not Path.is_mount: a folder bound onto itself has the device number of its parent.
    info = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    if folder.resolve() not in parse_mountinfo(info):
        run(["mount", "--bind", folder, folder])
    run(["mount", "--make-shared", folder])
