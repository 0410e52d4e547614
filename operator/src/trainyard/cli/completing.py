"""Names that a shell completes, where the cluster tells them quickly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum

import click
from click.shell_completion import CompletionItem

PATIENCE_SECONDS = 1.0
"""A person who pressed a key is not kept waiting any longer."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Named(StrEnum):
    """Objects whose names are completed."""

    PROCESS = "PROCESS"
    MODEL = "MODEL"
    DATASET = "DATASET"
    NODE = "NODE"


def names_of(kind: Named, *, or_files: bool = False) -> Complete:
    """Completes the names of objects; without a cluster that answers, none.

    Parameters
    ----------
    or_files
        Files are completed as well.
    """

    def complete(
        context: click.Context,
        parameter: click.Parameter,  # noqa: ARG001 -- of click
        incomplete: str,
    ) -> list[CompletionItem]:
        # Read before the clock runs: the libraries take longer than the cluster.
        from trainyard.cli import connection  # noqa: F401

        names: list[str] = []
        asking = threading.Thread(target=_ask, args=(context, kind, names), daemon=True)
        asking.start()
        asking.join(PATIENCE_SECONDS)
        found = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
        return [*found, CompletionItem(incomplete, type="file")] if or_files else found

    return complete


def _ask(context: click.Context, kind: Named, names: list[str]) -> None:
    from trainyard.cli import options
    from trainyard.cluster import parse, resources

    try:
        with context.scope(cleanup=False):
            cluster = options.connection()
        type_ = getattr(resources, kind)
        namespace = cluster.namespace if type_.namespaced else None
        found = cluster.api.list(type_, namespace).items
    except Exception:  # noqa: BLE001 -- a shell that completes has no place for a sentence
        return
    names += [str(parse.metadata(item)["name"]) for item in found]
