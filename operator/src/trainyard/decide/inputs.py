"""What a process is made of at this moment, from the facts about it."""

from __future__ import annotations

from trainyard.api.process_status import Resolved
from trainyard.api.run import RunFile
from trainyard.decide.base_weights import base_weights
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.resolve import OverrideError, resolve, resolve_template, run_file


def resolve_now(facts: ProcessFacts) -> tuple[Resolved, RunFile]:
    """What the process is made of at this moment, and the run.yaml of its first attempt."""
    process, settings = facts.process, facts.settings
    if facts.capability is None or facts.template is None:
        raise ValueError(f"TrainingProcess {process.key} was not validated")
    recipe = resolve_template(facts.template.spec, process.spec.overrides)
    base = base_weights(recipe.base_model, facts.base_model)
    resolved = resolve(
        capability_name=process.spec.capability,
        capability=facts.capability.spec,
        template_name=process.spec.template,
        template=recipe,
        splits=process.spec.datasets,
        datasets=facts.datasets,
        image=recipe.image or settings.image,
        base=base,
    )
    run = run_file(
        process=process,
        attempt=1,
        resolved=resolved,
        capability=facts.capability.spec,
        template=recipe,
        datasets=facts.datasets,
        store_root=settings.store_root,
        store=settings.store,
        progress_url=settings.progress_url,
        base=base,
    )
    return resolved, run


def restored_base(facts: ProcessFacts) -> RunFile | None:
    """The run.yaml of the first attempt, made again if nothing that it was made of has changed.

    Its ConfigMap may have been deleted by hand. What was resolved is on record as digests, so it
    is known whether capability, template and snapshots are still the same.
    """
    if facts.capability is None or facts.template is None:
        return None
    spec = facts.process.spec.datasets
    names = (*spec.train, *spec.dev, *spec.test)
    if any(
        name not in facts.datasets or facts.datasets[name].status.snapshot is None for name in names
    ):
        return None
    try:
        resolved, run = resolve_now(facts)
    except OverrideError:
        return None
    return run if resolved == facts.process.status.resolved else None
