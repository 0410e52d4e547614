"""What the commands do that list a kind."""

from __future__ import annotations

from datetime import UTC, datetime

from trainyard.cli import options
from trainyard.cli.catalogue import Kind, R, list_objects, print_catalogue
from trainyard.cli.output import Format, note, print_objects


def print_all(kind: Kind[R], *, all_namespaces: bool, output: str, hint: str) -> None:
    """List the objects of a kind in the command's namespace, or in all.

    Parameters
    ----------
    output
        A `Format`.
    hint
        Said where there is none: how one comes to be.
    """
    cluster = options.connection()
    namespace = None if all_namespaces else cluster.namespace
    found = list_objects(cluster.api, kind, namespace)
    if output != Format.TABLE:
        print_objects(found.raw, Format(output))
        return
    if found.objects:
        print_catalogue(kind, found.objects, datetime.now(UTC), with_namespace=all_namespaces)
    elif not found.unreadable:
        where = "the cluster" if namespace is None else f"namespace {namespace}"
        note(f"There are no {kind.type_.kind}s in {where}: {hint}.")
    for sentence in found.unreadable:
        note(sentence)
