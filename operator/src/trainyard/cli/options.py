"""Options that every command takes, and what they open."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from trainyard.cli.connection import Connection
    from trainyard.cli.profiles import Target
    from trainyard.cli.store_access import StoreAccess

_KEY = "trainyard.cli.flags"
F = TypeVar("F", bound=Callable[..., Any])


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    # The dict is shared by a command and the groups above it; the command's own flag comes last.
    if value is not None and parameter.name is not None:
        context.meta.setdefault(_KEY, {})[parameter.name] = value


def _flag(*names: str, metavar: str, help: str) -> Callable[[F], F]:  # noqa: A002 -- as in click
    return click.option(*names, metavar=metavar, help=help, expose_value=False, callback=_remember)


_PROFILE = _flag(
    "--profile", metavar="NAME", help="Profile of the config file.  [TRAINYARD_PROFILE]"
)
_KUBECONFIG = _flag(
    "--kubeconfig", metavar="FILE", help="Kubeconfig.  [TRAINYARD_KUBECONFIG, KUBECONFIG]"
)
_CONTEXT = _flag("--context", metavar="NAME", help="Its context.  [TRAINYARD_CONTEXT]")
_NAMESPACE = _flag("-n", "--namespace", metavar="NAME", help="Namespace.  [TRAINYARD_NAMESPACE]")
_ENDPOINT = _flag(
    "--s3-endpoint", metavar="URL", help="Endpoint of the store.  [TRAINYARD_S3_ENDPOINT]"
)
_REGION = _flag("--s3-region", metavar="NAME", help="Region of the store.  [TRAINYARD_S3_REGION]")


def cluster_options(function: F) -> F:
    """Options that say which cluster and namespace a command is about."""
    for option in (_NAMESPACE, _CONTEXT, _KUBECONFIG, _PROFILE):
        function = option(function)
    return function


def store_options(function: F) -> F:
    """Options that say how the object store is reached."""
    for option in (_REGION, _ENDPOINT):
        function = option(function)
    return function


def target() -> Target:
    """Where the running command looks."""
    from trainyard.cli.profiles import Flags, resolve

    given = click.get_current_context().meta.get(_KEY, {})
    return resolve(Flags(**given), os.environ)


def store_access() -> StoreAccess:
    """The store that the running command is about.

    A cluster is asked only for what the person's own settings do not say.
    """
    from trainyard.cli.errors import CommandError
    from trainyard.cli.store_access import find_own_store, find_store

    own = find_own_store(target())
    if own is not None:
        return own
    try:
        cluster = connection()
    except CommandError as error:
        raise CommandError(
            "there are no keys and no endpoint for the object store: set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and --s3-endpoint (or a profile), or name a cluster that knows "
            f"them: {error}"
        ) from None
    return find_store(cluster.api, target(), cluster.namespace)


def connection() -> Connection:
    """The cluster that the running command is about."""
    from trainyard.cli.connection import connect

    return connect(target())
