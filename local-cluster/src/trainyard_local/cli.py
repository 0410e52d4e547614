"""The command line: it parses, calls, and prints."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from trainyard_local import checks, records
from trainyard_local.binaries import obtain
from trainyard_local.cluster import Cluster
from trainyard_local.debian import node_programs
from trainyard_local.errors import LocalClusterError
from trainyard_local.images.cli import add_image_commands
from trainyard_local.layout import NODE_NAMES
from trainyard_local.paths import cache
from trainyard_local.progress import Reporter
from trainyard_local.status import ClusterStatus


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(
        prog="python -m trainyard_local",
        description="A real Kubernetes with two real nodes and a real S3 server on this machine.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("binaries", help="build or find all programs, and start nothing")
    up = commands.add_parser("up", help="start the cluster, or repair it; repeating is harmless")
    up.add_argument(
        "--nodes",
        default=",".join(NODE_NAMES),
        metavar="NAMES",
        help="comma-separated names of the nodes (default: %(default)s)",
    )
    down = commands.add_parser("down", help="stop the cluster and remove its traces")
    for command in (up, down):
        command.add_argument(
            "--take-over",
            action="store_true",
            help="end a cluster that another clone holds, with all that runs on it",
        )
    down.add_argument(
        "--purge", action="store_true", help="delete the nodes' images and all S3 objects too"
    )
    status = commands.add_parser("status", help="show what runs")
    status.add_argument("--output", choices=("table", "json"), default="table")
    commands.add_parser("env", help="print shell lines that make kubectl and helm use the cluster")
    logs = commands.add_parser("logs", help="print the log of a program, or name all logs")
    logs.add_argument("program", nargs="?", help="as in kube-apiserver or gpu-1/kubelet")
    logs.add_argument("--lines", type=int, default=50, help="how many (default: %(default)s)")
    add_image_commands(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str or None
        Command line without the program; None takes this process's.

    Returns
    -------
    int
        Exit status: 0, 1 for an error told in a sentence, 130 when interrupted.
    """
    try:
        return _run(parser().parse_args(arguments))
    except LocalClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (as in `| head`) has seen enough; Python's own flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted: repeat the command to go on, or `down` to clean up", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "binaries":
            return _binaries()
        case "up":
            return _up(records.node_names(options.nodes), take_over=options.take_over)
        case "down":
            cluster = _recorded()
            cluster.down(purge=options.purge, take_over=options.take_over)
            return 0
        case "status":
            return _status(options.output)
        case "env":
            return _env()
        case "images":
            return int(options.func(options))
        case _:
            return _logs(options.program, options.lines)


def _binaries() -> int:
    reporter = Reporter()
    if problems := checks.basic_problems(checks.basics(cache())):
        # Without root the control plane for tests still works; nothing else here needs it.
        reporter.say("\n".join(f"note: {problem}" for problem in problems))
    # The packages come over the network while the processor builds.
    with ThreadPoolExecutor(1) as pool:
        packages = pool.submit(node_programs, cache(), Reporter(quiet=True))
        found = obtain(reporter=reporter)
        packages.result()
    for name, path in sorted(found.paths.items()):
        print(f"{name}\t{path}")
    return 0


def _up(names: tuple[str, ...], *, take_over: bool) -> int:
    cluster = Cluster(names)
    cluster.up(take_over=take_over)
    _print_table(cluster, cluster.status())
    return 0


def _status(output: str) -> int:
    cluster = _recorded()
    status = cluster.status()
    if output == "json":
        found: dict[str, object] = {**asdict(status), "healthy": status.healthy}
        if status.nodes:
            found["kubeconfig"] = str(cluster.kubeconfig)
            found["apiServer"] = cluster.control_plane.url
            found["s3"] = asdict(cluster.s3)
        print(json.dumps(found, indent=2))
    elif not status.nodes:
        print("no local cluster is up: start it with `make up`")
    else:
        _print_table(cluster, status)
    return 0 if status.healthy else 1


def _env() -> int:
    cluster = Cluster.open()
    folders = ":".join(str(folder) for folder in cluster.binaries.folders)
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    print(f"export PATH={shlex.quote(folders)}:$PATH")
    return 0


def _logs(program: str | None, lines: int) -> int:
    logs = _recorded().logs()
    if program is None:
        for name, path in logs.items():
            print(f"{name}\t{path}")
        return 0
    if program not in logs:
        raise LocalClusterError(f"no program is called {program}: there are {', '.join(logs)}")
    text = logs[program].read_text(encoding="utf-8", errors="replace")
    print("\n".join(text.splitlines()[-lines:]))
    return 0


def _recorded() -> Cluster:
    record = records.read(cache().cluster / "cluster.json")
    return Cluster(record.nodes if record else NODE_NAMES)


def _print_table(cluster: Cluster, status: ClusterStatus) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("NODE", "READY", "ADDRESS", "PODS", "KUBELET", "CONTAINERD"):
        table.add_column(column)
    for node in status.nodes:
        table.add_row(
            node.name,
            "yes" if node.ready else "no",
            node.address,
            node.pods,
            "running" if node.kubelet else "stopped",
            "running" if node.containerd else "stopped",
        )
    width = None if sys.stdout.isatty() else 120
    console = Console(highlight=False, width=width)
    console.print(table)
    stopped = [name for name, running in status.programs if not running]
    print(f"\nPrograms      {'all running' if not stopped else 'stopped: ' + ', '.join(stopped)}")
    print(f"API server    {cluster.control_plane.url}")
    print(f"S3            {cluster.s3.endpoint_url} (credentials: status --output json)")
    print(f"kubeconfig    {cluster.kubeconfig}")
    print(f"Started from  {status.clone}")
    if "KUBECONFIG" not in os.environ:
        print('For kubectl   eval "$(python -m trainyard_local env)"')
