"""The API server as an admission test sees it: an object goes in, or a sentence comes out."""

from __future__ import annotations

import copy
import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config

from trainyard.api.crd import KINDS
from trainyard.api.meta import GROUP, VERSION, Json

NAMESPACE = "admission"
PLURALS = {kind.name: kind.plural for kind in KINDS}


class Refused(Exception):
    """The API server did not take an object.

    Attributes
    ----------
    status
        HTTP status.
    message
        The sentence that kubectl prints.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Server:
    """Creates, changes and deletes custom resources as kubectl does: with strict field checks."""

    kubeconfig: Path

    def create(self, manifest: Json, *, dry_run: bool = False, **options: Any) -> Json:
        if dry_run:
            options["dry_run"] = "All"
        return self._call("create_namespaced_custom_object", manifest, manifest, **options)

    def replace(self, manifest: Json) -> Json:
        name = manifest["metadata"]["name"]
        return self._call("replace_namespaced_custom_object", manifest, manifest, name=name)

    def patch(self, manifest: Json, change: Json, *, status: bool = False, **options: Any) -> Json:
        name = manifest["metadata"]["name"]
        function = f"patch_namespaced_custom_object{'_status' if status else ''}"
        return self._call(
            function,
            manifest,
            change,
            name=name,
            _content_type="application/merge-patch+json",
            **options,
        )

    def get(self, manifest: Json) -> Json:
        found: Json = self._objects.get_namespaced_custom_object(
            GROUP,
            VERSION,
            NAMESPACE,
            PLURALS[manifest["kind"]],
            manifest["metadata"]["name"],
        )
        return found

    def delete(self, manifest: Json) -> None:
        self._objects.delete_namespaced_custom_object(
            GROUP,
            VERSION,
            NAMESPACE,
            PLURALS[manifest["kind"]],
            manifest["metadata"]["name"],
        )

    def names(self, kind: str, field_selector: str) -> list[str]:
        listed = self._objects.list_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURALS[kind], field_selector=field_selector
        )
        return sorted(item["metadata"]["name"] for item in listed["items"])

    @functools.cached_property
    def api_client(self) -> client.ApiClient:
        return config.new_client_from_config(str(self.kubeconfig))

    @property
    def _objects(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api_client)

    def _call(self, function: str, manifest: Json, body: Json, **options: Any) -> Json:
        options.setdefault("field_validation", "Strict")
        try:
            made: Json = getattr(self._objects, function)(
                group=GROUP,
                version=VERSION,
                namespace=NAMESPACE,
                plural=PLURALS[manifest["kind"]],
                body=body,
                **options,
            )
        except client.ApiException as error:
            try:
                message = json.loads(error.body)["message"]
            except (TypeError, ValueError, KeyError):
                message = str(error.body)
            raise Refused(error.status, message) from None
        return made


_REMOVE: Any = object()
REMOVE = _REMOVE
"""As the value of `changed`: the field goes."""

_numbers = itertools.count()


def changed(manifest: Json, **fields: Any) -> Json:
    """A copy of `manifest` with fields of its spec set; `a__b` is the field b of a."""
    made = copy.deepcopy(manifest)
    for path, value in fields.items():
        *parents, last = path.split("__")
        place = made["spec"]
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is REMOVE:
            del place[last]
        else:
            place[last] = value
    return made


def named(manifest: Json, name: str) -> Json:
    """A copy of `manifest` under another name."""
    return {**copy.deepcopy(manifest), "metadata": {"name": name}}


def fresh(manifest: Json) -> Json:
    """A copy of `manifest` under a name that no other test has."""
    return named(manifest, f"{manifest['kind'].lower()}-{next(_numbers)}")


def outputs(count: int, text: str = "value") -> list[Json]:
    """`count` classes."""
    return [
        {"attribute": "class", "value": f"{text}-{position}", "position": position}
        for position in range(count)
    ]


def _manifest(kind: str, spec: Json) -> Json:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": "example"},
        "spec": spec,
    }


CLASSIFIER = _manifest("Capability", {"type": "ImageClassifierElement", "outputs": outputs(2)})
DETECTOR = _manifest("Capability", {"type": "DetectorElement", "outputs": outputs(2)})
BOX_CLASSIFIER = _manifest("Capability", {"type": "BoxClassifierElement", "outputs": outputs(2)})
EMBEDDER = _manifest("Capability", {"type": "BoxEmbedderElement", "outputs": outputs(2)})

SELECTION: Json = {"source": {"s3": {"bucket": "images", "prefix": "a/b"}}, "format": "folders"}
DATASET = _manifest("Dataset", {"selections": [SELECTION]})
DRAFT = _manifest("Dataset", {"suspend": True})

TEMPLATE = _manifest(
    "TrainingTemplate",
    {"displayName": "small", "engine": "yolo-cls", "baseModel": {"architecture": "yolo11n"}},
)
PROCESS = _manifest(
    "TrainingProcess",
    {
        "capability": "digit",
        "template": "small",
        "datasets": {"train": ["train"], "dev": ["dev"]},
        "targetNode": "gpu-1",
    },
)
MODEL = _manifest(
    "TrainedModel",
    {
        "capability": "digit",
        "type": "ImageClassifierElement",
        "engine": "yolo-cls",
        "classes": outputs(2),
        "artefacts": {"location": "s3://models/digit"},
    },
)
