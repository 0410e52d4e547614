"""Images of one node for another without a second import: hard links instead of bytes."""

import shutil
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.node import Node
from trainyard_local.shell import run

# What containerd writes to in place must be the target's own.
_DATABASES = "*.db"
_PLUGINS_WITHOUT_IMAGES = ("io.containerd.grpc.v1.cri", "io.containerd.grpc.v1.introspection")


def share_images(source: Node, target: Node) -> None:
    """Give a node all images of another one, in place of its own; takes seconds.

    Pods of the source go on; its containerd pauses for the length of the copy.

    Parameters
    ----------
    source, target : Node
        Both with a running containerd afterwards.

    Raises
    ------
    LocalClusterError
        When the target has containers: their files would be taken from under them.
    """
    target.start_containerd()
    if left := [found.pod for found in target.containers()]:
        raise LocalClusterError(
            f"{target.name} still has containers (of {', '.join(sorted(set(left)))}): images can "
            "be shared with a node that has no pods; delete them first, or import the archive there"
        )
    target.stop_containerd()
    source.stop_containerd()
    try:
        replace_root(source.containerd_root, target.containerd_root)
    finally:
        source.start_containerd()
        target.start_containerd()
    # The metadata names the source's containers too; nothing of them runs here.
    target.remove_containers()


def replace_root(source: Path, target: Path) -> None:
    """Replace a containerd's root by hard links to another's; neither containerd may run.

    Parameters
    ----------
    source, target : Path
        Root folders on one disk.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run(["cp", "-al", source, unfinished], timeout_s=600)
    for database in unfinished.rglob(_DATABASES):
        own = database.with_name(f".{database.name}.own")
        shutil.copy2(database, own)
        own.rename(database)
    for plugin in _PLUGINS_WITHOUT_IMAGES:
        shutil.rmtree(unfinished / plugin, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
