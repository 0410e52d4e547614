"""How this machine reaches the store: its endpoint and the keys.

A model names its files as `s3://bucket/key`; where that bucket is served stands in the operator's
settings, which people cannot read. The operator tells it to each training and snapshot in its
ConfigMap, in the people's own namespace: what no flag, variable or profile says is read there.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import botocore.session
from botocore.exceptions import BotoCoreError
from pydantic import ValidationError

from trainyard.api.documents import DocumentError, load_yaml
from trainyard.api.meta import STORE_SECRET, Json
from trainyard.api.run import RUN_FILE, SNAPSHOT_FILE, StoreLocation
from trainyard.cli.errors import CommandError
from trainyard.cli.profiles import Target
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Forbidden
from trainyard.cluster.resources import CONFIG_MAP, SECRET
from trainyard.stores import Credentials, Store, open_store

_OF_A_MACHINE = ("container-role", "iam-role")
"""Sources that ask a metadata service on the network: a laptop has none, and waits for it."""


@dataclass(frozen=True)
class StoreAccess:
    """A store and where the knowledge of it came from.

    Attributes
    ----------
    endpoint_from, keys_from
        For people: what was believed.
    """

    store: Store
    endpoint_from: str
    keys_from: str

    def explain(self, problem: object) -> CommandError:
        """What the store refused or did not have, with what it was asked with."""
        return CommandError(
            f"{problem}; the endpoint came from {self.endpoint_from}, the keys from "
            f"{self.keys_from}"
        )


def find_own_store(target: Target) -> StoreAccess | None:
    """The store of the person's own endpoint and keys; None if they have not set both.

    For commands about data that is in no cluster yet: none is asked.

    Raises
    ------
    CommandError
        If the keys cannot be read.
    """
    if target.s3_endpoint is None:
        return None
    found = own_keys(target.aws_profile)
    if found is None:
        return None
    keys, keys_from = found
    location = StoreLocation(endpoint_url=target.s3_endpoint)
    if target.s3_region is not None:
        location = StoreLocation(endpoint_url=target.s3_endpoint, region=target.s3_region)
    return StoreAccess(
        open_store(location, keys), f"your settings ({target.s3_endpoint})", keys_from
    )


def find_store(api: ApiServer, target: Target, namespace: str) -> StoreAccess:
    """The store that the models of a namespace lie in.

    Raises
    ------
    CommandError
        If there are no keys; the sentence says where they can stand.
    """
    location, endpoint_from = _location(api, target, namespace)
    keys, keys_from = _keys(api, target, namespace)
    return StoreAccess(open_store(location, keys), endpoint_from, keys_from)


def _location(api: ApiServer, target: Target, namespace: str) -> tuple[StoreLocation, str]:
    told = None
    if target.s3_endpoint is None or target.s3_region is None:
        told = _told_to_runs(api, namespace)
    # An endpoint of the person's own has nothing to do with the region of another one.
    fallback = told if told is not None and target.s3_endpoint is None else StoreLocation()
    location = StoreLocation(
        endpoint_url=target.s3_endpoint or fallback.endpoint_url,
        region=target.s3_region or (told or fallback).region,
    )
    if target.s3_endpoint is not None:
        return location, f"your settings ({target.s3_endpoint})"
    if fallback.endpoint_url is not None:
        return location, f"the runs of namespace {namespace} ({fallback.endpoint_url})"
    return location, (
        "nowhere, so that it is AWS's own; another one stands in --s3-endpoint, "
        "TRAINYARD_S3_ENDPOINT or a profile"
    )


def _told_to_runs(api: ApiServer, namespace: str) -> StoreLocation | None:
    """What the newest training or snapshot of the namespace was told, as far as it can be read."""
    try:
        found = api.list(CONFIG_MAP, namespace, label_selector=names.OURS_SELECTOR).items
    except Forbidden:
        return None
    newest = sorted(
        found, key=lambda raw: str(parse.metadata(raw).get("creationTimestamp")), reverse=True
    )
    return next((place for place in map(_store_of, newest) if place is not None), None)


def _store_of(config_map: Json) -> StoreLocation | None:
    data = config_map.get("data") or {}
    text = data.get(RUN_FILE) or data.get(SNAPSHOT_FILE) or ""
    try:
        # Only this part of the document: a newer operator may have added to the rest.
        return StoreLocation.model_validate(load_yaml(text)["store"])
    except (DocumentError, ValidationError, KeyError, TypeError):
        return None


def _keys(api: ApiServer, target: Target, namespace: str) -> tuple[Credentials, str]:
    found = own_keys(target.aws_profile)
    if found is not None:
        return found
    shared = _keys_of_namespace(api, namespace)
    if shared is not None:
        return shared, f"the Secret {STORE_SECRET} of namespace {namespace}"
    raise CommandError(
        "there are no keys for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or name a profile of ~/.aws/credentials in the config file (s3.awsProfile), or ask for "
        f"the right to read the Secret {STORE_SECRET} of namespace {namespace}"
    )


def own_keys(aws_profile: str | None) -> tuple[Credentials, str] | None:
    """Keys of the person, and where they stand: the environment or the files of every S3 tool.

    Raises
    ------
    CommandError
        If they cannot be read.
    """
    try:
        session = botocore.session.Session(profile=aws_profile)
        resolver = session.get_component("credential_provider")
        for source in _OF_A_MACHINE:
            resolver.remove(source)
        found = session.get_credentials()
        keys = None if found is None else found.get_frozen_credentials()
    except BotoCoreError as error:
        raise CommandError(f"the keys of the store cannot be read: {error}") from None
    if found is None or keys is None or keys.access_key is None or keys.secret_key is None:
        return None
    named = f" (profile {aws_profile})" if aws_profile else ""
    return (
        Credentials(keys.access_key, keys.secret_key, keys.token),
        f"your {found.method} settings{named}",
    )


def _keys_of_namespace(api: ApiServer, namespace: str) -> Credentials | None:
    """Keys of the runs of the namespace, if the person may read them."""
    try:
        raw = api.get(SECRET, STORE_SECRET, namespace)
    except Forbidden:
        return None
    data = (raw or {}).get("data") or {}
    try:
        access, secret = (
            base64.b64decode(data[name]).decode()
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
        token = base64.b64decode(data.get("AWS_SESSION_TOKEN", "")).decode() or None
    except (KeyError, ValueError, binascii.Error):
        return None
    return Credentials(access, secret, token)
