"""The commands ``images build``, ``load``, ``export`` and ``reference``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard_local.cluster import Cluster
from trainyard_local.images.build import build, chosen, not_built, workshop
from trainyard_local.images.containerd import Containerd
from trainyard_local.images.export import export_images
from trainyard_local.images.load import load_images
from trainyard_local.progress import Reporter

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_image_commands(subparsers: "Subparsers") -> None:
    """Add ``images`` to a command line.

    Parameters
    ----------
    subparsers : argparse subparsers
        Where the command is added. Parsed arguments get ``func``, which takes them, returns the
        exit status, and raises `LocalClusterError`.
    """
    parser = subparsers.add_parser("images", help="build the container images and load them")
    add_actions(parser)


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Add the actions below ``images``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of ``images``.
    """
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    names = {"nargs": "*", "metavar": "IMAGE", "help": "operator, trainer; all when none is named"}

    action = actions.add_parser("build", help="build what changed since it was built last")
    action.add_argument("images", **names)  # type: ignore[arg-type]
    action.set_defaults(func=_build)

    action = actions.add_parser("load", help="put the built images into the nodes")
    action.add_argument("images", **names)  # type: ignore[arg-type]
    action.add_argument(
        "--containerd",
        action="append",
        type=Path,
        metavar="SOCKET",
        help="socket of another containerd than those of the local cluster; may be repeated",
    )
    action.add_argument("--ctr", default="ctr", help="command line for --containerd")
    action.set_defaults(func=_load)

    action = actions.add_parser("export", help="write the built images as archives")
    action.add_argument("images", **names)  # type: ignore[arg-type]
    action.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="one archive an image, for `ctr images import` and `podman load`",
    )
    action.set_defaults(func=_export)

    action = actions.add_parser("reference", help="print the name of a built image")
    action.add_argument("images", **names)  # type: ignore[arg-type]
    action.add_argument("--digest", action="store_true", help="name it by digest, not by tag")
    action.set_defaults(func=_reference)


def _build(arguments: argparse.Namespace) -> int:
    for image in build(arguments.images, Reporter()):
        print(image.reference)
    return 0


def _load(arguments: argparse.Namespace) -> int:
    reporter = Reporter()
    if arguments.containerd:
        nodes = [Containerd(socket, arguments.ctr) for socket in arguments.containerd]
    else:
        nodes = cluster_nodes(Cluster.open(reporter=reporter, own=True))
    for image in load_images(arguments.images, nodes, reporter):
        print(image.reference)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    for path in export_images(arguments.images, arguments.to, Reporter()):
        print(path)
    return 0


def cluster_nodes(cluster: Cluster) -> list[Containerd]:
    """Nodes of the local cluster, to load images into.

    Parameters
    ----------
    cluster : Cluster
        One that is up.
    """
    return [Containerd(node.plan.socket, node.ctr[0]) for node in cluster.nodes]


def _reference(arguments: argparse.Namespace) -> int:
    place = workshop()
    for spec in chosen(arguments.images):
        image = place.built(spec)
        if image is None:
            raise not_built(spec)
        print(image.pinned if arguments.digest else image.reference)
    return 0
