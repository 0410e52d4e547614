"""The commands ``images build``, ``images load`` and ``images reference``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.build import build, chosen, locked, workshop
from trainyard_local.images.containerd import Containerd
from trainyard_local.images.load import load
from trainyard_local.progress import Reporter, duration

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
        required=True,
        metavar="SOCKET",
        help="socket of a node's containerd; repeat it for several nodes",
    )
    action.add_argument("--ctr", default="ctr", help="containerd's command line (default: ctr)")
    action.set_defaults(func=_load)

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
    nodes = [Containerd(socket, arguments.ctr) for socket in arguments.containerd]
    with locked(reporter) as place:
        for spec in chosen(arguments.images):
            image = place.built(spec)
            if image is None:
                raise _not_built(spec.name)
            seconds = load(image, nodes, place.layout, reporter)
            reporter.say(f"{image.reference} is on {len(nodes)} nodes ({duration(seconds)})")
    return 0


def _reference(arguments: argparse.Namespace) -> int:
    place = workshop()
    for spec in chosen(arguments.images):
        image = place.built(spec)
        if image is None:
            raise _not_built(spec.name)
        print(image.pinned if arguments.digest else image.reference)
    return 0


def _not_built(name: str) -> LocalClusterError:
    return LocalClusterError(f"the {name} image is not built: run `images build {name}` first")
