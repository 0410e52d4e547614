"""The door to the cluster that a command was pointed at."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from kubernetes import client, config
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from trainyard.cli.errors import CommandError
from trainyard.cli.profiles import Target
from trainyard.cluster.api_server import ApiServer

DEFAULT_KUBECONFIG = "~/.kube/config"


@dataclass(frozen=True)
class Connection:
    """An API server and the namespace that commands are about.

    Attributes
    ----------
    api
        With the person's own rights.
    namespace
        Of the flags, the environment, the profile or the context; else `default`.
    """

    api: ApiServer
    namespace: str


def connect(target: Target) -> Connection:
    """Read the kubeconfig; nothing is asked of the cluster yet.

    Raises
    ------
    CommandError
        If there is no kubeconfig, or no such context in it.
    """
    place = target.kubeconfig or DEFAULT_KUBECONFIG
    settings = client.Configuration()
    try:
        files = KubeConfigMerger(place)
        if files.config is None:
            raise CommandError(
                f"there is no kubeconfig at {place}: give --kubeconfig, or a profile with one"
            )
        _check_context(files.config, target.context, place)
        loader = KubeConfigLoader(
            config_dict=files.config,
            active_context=target.context,
            config_base_path=None,
            config_persister=files.save_changes,
        )
        loader.load_and_set(settings)
    except config.ConfigException as error:
        raise CommandError(f"the kubeconfig {place} cannot be used: {error}") from None
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())[:200]
        raise CommandError(f"the kubeconfig {place} is not valid YAML: {where}") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        # The client library does not look before it takes apart what it read.
        raise CommandError(
            f"{place} is no kubeconfig that can be used ({type(error).__name__})"
        ) from None
    settings.retries = False
    context = loader.current_context.get("context") or {}
    return Connection(
        api=ApiServer(client.ApiClient(settings)),
        namespace=target.namespace or str(context.get("namespace") or "default"),
    )


def _check_context(merged: object, wanted: str | None, place: str) -> None:
    contexts = getattr(merged, "value", {}).get("contexts") or []
    known = sorted(str(item["name"]) for item in contexts)
    current = getattr(merged, "value", {}).get("current-context")
    chosen = wanted or current
    listed = ", ".join(known) or "none"
    if not chosen:
        raise CommandError(f"{place} has no current context: give --context (it has {listed})")
    if chosen not in known:
        raise CommandError(f"{place} has no context {chosen!r}: it has {listed}")
