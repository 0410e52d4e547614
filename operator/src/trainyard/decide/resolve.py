"""What a run is made of: template with overrides, digests, fingerprint, run.yaml."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from trainyard.api.capability import CapabilitySpec
from trainyard.api.dataset import Dataset
from trainyard.api.documents import digest, first_problem
from trainyard.api.process import Overrides, Splits, TrainingProcess
from trainyard.api.process_status import Resolved, ResolvedInput
from trainyard.api.run import (
    BaseWeights,
    ProgressTarget,
    RunFile,
    RunSplits,
    SnapshotRef,
    StoreLocation,
)
from trainyard.api.template import TrainingTemplateSpec


class OverrideError(ValueError):
    """Template and overrides together are not a valid recipe."""


def resolve_template(
    template: TrainingTemplateSpec, overrides: Overrides | None
) -> TrainingTemplateSpec:
    """The template with the overridden fields replaced.

    Raises
    ------
    OverrideError
        If the result breaks a bound; one sentence that names the field.
    """
    if overrides is None:
        return template
    merged = _merge(template.to_wire(), overrides.to_wire())
    try:
        return TrainingTemplateSpec.model_validate(merged)
    except ValidationError as error:
        raise OverrideError(f"overrides.{first_problem(error, given=True)}") from None


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def resolve(
    *,
    capability_name: str,
    capability: CapabilitySpec,
    template_name: str,
    template: TrainingTemplateSpec,
    splits: Splits,
    datasets: dict[str, Dataset],
    image: str,
    base: BaseWeights | None = None,
) -> Resolved:
    """Digests of all inputs and the fingerprint over them.

    `template` has the overrides applied; all `datasets` have a snapshot; `base` is what the
    template starts from, if that is a file.
    """
    inputs = tuple(
        ResolvedInput(name=name, digest=_snapshot_digest(datasets[name]))
        for name in sorted({*splits.train, *splits.dev, *splits.test})
    )
    capability_digest = digest(capability)
    template_digest = digest(template)
    by_name = {item.name: item.digest for item in inputs}
    fingerprint = digest(
        {
            "capability": capability_digest,
            "template": template_digest,
            "image": image,
            "train": sorted(by_name[name] for name in splits.train),
            "dev": sorted(by_name[name] for name in splits.dev),
            "test": sorted(by_name[name] for name in splits.test),
            # Absent rather than null: what starts from scratch keeps the fingerprint it had.
            **({} if base is None else {"base": base.sha256}),
        }
    )
    return Resolved(
        capability=ResolvedInput(name=capability_name, digest=capability_digest),
        template=ResolvedInput(name=template_name, digest=template_digest),
        base=None
        if base is None
        else ResolvedInput(name=template.base_model.trained_model or base.uri, digest=base.sha256),
        datasets=inputs,
        image=image,
        fingerprint=fingerprint,
    )


def output_location(store_root: str, process: TrainingProcess, attempt: int) -> str:
    """Folder of an attempt's artefacts: one per namespace, UID and attempt."""
    meta = process.metadata
    return f"{store_root}/runs/{meta.namespace}/{meta.uid}/{attempt}"


def run_file(
    *,
    process: TrainingProcess,
    attempt: int,
    resolved: Resolved,
    capability: CapabilitySpec,
    template: TrainingTemplateSpec,
    datasets: dict[str, Dataset],
    store_root: str,
    store: StoreLocation,
    progress_url: str | None,
    base: BaseWeights | None = None,
) -> RunFile:
    """The sealed run.yaml of an attempt."""
    spec, meta = process.spec, process.metadata

    def refs(names: tuple[str, ...]) -> tuple[SnapshotRef, ...]:
        return tuple(
            SnapshotRef(
                name=name,
                uri=_snapshot_uri(datasets[name]),
                digest=_snapshot_digest(datasets[name]),
            )
            for name in names
        )

    return RunFile(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        attempt=attempt,
        fingerprint=resolved.fingerprint or "",
        capability_name=spec.capability,
        capability=capability,
        template_name=spec.template,
        template=template,
        base=base,
        datasets=RunSplits(
            train=refs(spec.datasets.train),
            dev=refs(spec.datasets.dev),
            test=refs(spec.datasets.test),
        ),
        output=output_location(store_root, process, attempt),
        store=store,
        progress=ProgressTarget(url=progress_url) if progress_url else None,
    ).sealed()


def _snapshot_digest(dataset: Dataset) -> str:
    if dataset.status.snapshot is None:
        raise ValueError(f"Dataset {dataset.key} has no snapshot")
    return dataset.status.snapshot.digest


def _snapshot_uri(dataset: Dataset) -> str:
    if dataset.status.snapshot is None:
        raise ValueError(f"Dataset {dataset.key} has no snapshot")
    return dataset.status.snapshot.uri
