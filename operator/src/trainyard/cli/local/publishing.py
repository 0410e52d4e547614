"""What was trained here, in the store and the cluster: models, and evaluations of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainyard.api.documents import digest
from trainyard.api.evaluation import evaluations_folder
from trainyard.api.manifest import MANIFEST_NAME
from trainyard.api.meta import ANNOTATION_EVALUATIONS, API_VERSION
from trainyard.api.model import Lineage, TrainedModel, TrainedModelSpec
from trainyard.api.run import RunFile
from trainyard.cli import catalogue, options
from trainyard.cli.connection import Connection
from trainyard.cli.counting import counted
from trainyard.cli.errors import CommandError
from trainyard.cli.local.attempts import Done
from trainyard.cli.store_access import StoreAccess, find_store
from trainyard.cluster.errors import Conflict
from trainyard.cluster.resources import MODEL
from trainyard.decide.facts import VerifiedArtefacts
from trainyard.decide.results import artefacts, primary
from trainyard.stores import AccessDenied, BucketNotFound, StoreError, StoreUnavailable, join


@dataclass(frozen=True)
class Evaluated:
    """A model that an evaluation is about, and how its files are reached."""

    cluster: Connection
    access: StoreAccess
    model: TrainedModel


@dataclass(frozen=True)
class Wanted:
    """A model that is to be made.

    Attributes
    ----------
    folder
        URI below which the namespace's runs lie.
    """

    cluster: Connection
    access: StoreAccess
    name: str
    folder: str


def evaluated_model(name: str) -> Evaluated:
    """The model of that name in the cluster.

    Raises
    ------
    CommandError
        If there is none, or no keys for the store.
    """
    cluster = options.connection()
    model = catalogue.get_object(cluster.api, catalogue.MODELS, cluster.namespace, name)
    return Evaluated(cluster, find_store(cluster.api, options.target(), cluster.namespace), model)


def record_evaluation(target: Evaluated, file: Path, plan: str) -> str:
    """Put an evaluation beside the model's files and have the operator read it; says where.

    Raises
    ------
    CommandError
        If the store does not take it.
    """
    model = target.model
    place = f"{evaluations_folder(model.spec.artefacts.location)}/{plan}.json"
    try:
        target.access.store.write_bytes(place, file.read_bytes())
    except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
        raise target.access.explain(error) from None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    target.cluster.api.merge_patch(
        MODEL,
        model.metadata.name,
        {"metadata": {"uid": model.metadata.uid, "annotations": {ANNOTATION_EVALUATIONS: now}}},
        model.metadata.namespace,
    )
    return f"recorded  {place}, for TrainedModel {model.key} as plan {plan}"


def new_model(name: str) -> Wanted:
    """Where a model of that name goes.

    Raises
    ------
    CommandError
        If the cluster has such a model, or nothing tells where its store is.
    """
    cluster = options.connection()
    namespace = cluster.namespace
    if cluster.api.get(MODEL, name, namespace) is not None:
        raise CommandError(
            f"there is a TrainedModel {name} in namespace {namespace}, and a model never changes: "
            "give another --name"
        )
    access = find_store(cluster.api, options.target(), namespace)
    return Wanted(cluster, access, name, f"{_store_root(cluster)}/runs/{namespace}")


def _store_root(cluster: Connection) -> str:
    """The operator's folder in the store, as the namespace's datasets and models show it."""
    namespace = cluster.namespace
    datasets = catalogue.list_objects(cluster.api, catalogue.DATASETS, namespace).objects
    models = catalogue.list_objects(cluster.api, catalogue.MODELS, namespace).objects
    uris = [
        *(x.status.snapshot.uri for x in datasets if x.status.snapshot is not None),
        *(x.spec.artefacts.location for x in models),
    ]
    for uri in uris:
        for kind in ("datasets", "runs"):
            root, found, _ = uri.partition(f"/{kind}/{namespace}/")
            if found:
                return root
    raise CommandError(
        f"namespace {namespace} has no Dataset with a snapshot and no model yet, so that nothing "
        "tells where its store is: make one first"
    )


def register(target: Wanted, run: RunFile, made: Done) -> Iterator[str]:
    """Upload a finished model and make its TrainedModel; says what was done, line by line.

    Raises
    ------
    CommandError
        If the store does not take it, or somebody made a model of that name meanwhile.
    """
    manifest, store = made.manifest, target.access.store
    weights = digest(manifest.to_wire())[:12]
    location = join(target.folder, run.uid, weights)
    try:
        total = sum(file.size_bytes for file in manifest.files)
        with counted("uploading", total) as advance:
            for file in manifest.files:
                store.upload(made.folder / file.name, join(location, file.name))
                advance(file.size_bytes)
        data = (made.folder / MANIFEST_NAME).read_bytes()
        store.write_bytes(join(location, MANIFEST_NAME), data, if_absent=True)
    except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
        raise target.access.explain(error) from None
    except StoreError as error:
        raise CommandError(str(error)) from None
    verified = VerifiedArtefacts(location, manifest)
    spec = TrainedModelSpec(
        display_name=run.template.display_name,
        capability=run.capability_name,
        type=run.capability.type,
        engine=run.template.engine,
        classes=run.capability.outputs,
        artefacts=artefacts(verified),
        fingerprint=manifest.fingerprint,
        lineage=Lineage(
            process=run.name,
            template=run.template_name,
            finished_at=manifest.created_at.replace(microsecond=0),
        ),
        metric=primary(manifest),
    )
    body = {
        "apiVersion": API_VERSION,
        "kind": MODEL.kind,
        "metadata": {"name": target.name, "namespace": target.cluster.namespace},
        "spec": spec.to_wire(),
    }
    try:
        target.cluster.api.create(MODEL, body, target.cluster.namespace)
    except Conflict:
        raise CommandError(
            f"a TrainedModel {target.name} was made meanwhile: give another --name; the files are "
            f"at {location}"
        ) from None
    yield f"registered  TrainedModel {target.cluster.namespace}/{target.name}"
    for file in manifest.files:
        yield f"            {join(location, file.name)}"
