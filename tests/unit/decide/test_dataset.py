"""The life of a Dataset: draft, snapshot Job, Ready or Failed for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import JOB as TRAINING_JOB
from tests.unit.builders import (
    NOW,
    STORE_ROOT,
    after,
    dataset,
    dataset_facts,
    last_words,
    report,
    snapshot_manifest,
)
from tests.unit.builders import POD as TRAINING_POD
from trainyard.api.dataset import DatasetPhase
from trainyard.api.reasons import Reason
from trainyard.api.run import SnapshotLimits
from trainyard.decide.actions import (
    CreateSnapshotJob,
    Decision,
    DeleteJob,
    Happening,
    SuspendJob,
)
from trainyard.decide.dataset import POLL, decide_dataset, snapshot_root
from trainyard.decide.facts import (
    DatasetFacts,
    JobFacts,
    Mismatch,
    PodFacts,
    StartFailure,
    Unavailable,
)

OWNER = dataset().metadata.uid
JOB = replace(TRAINING_JOB, name="tds-999999998888", owner_uid=OWNER, suspended=False)
DONE = replace(JOB, complete=True)
BROKEN = replace(JOB, failed=True, failure="backoff limit")
POD = replace(TRAINING_POD, phase="Pending", node="")

NO_IMAGE = replace(POD, node="gpu-1", waiting_reason="ErrImagePull", waiting_message="no such tag")


def known(**changes: Any) -> DatasetFacts:
    return dataset_facts(**changes)


def ready(decision: Decision[Any]) -> tuple[str, str, str]:
    found = decision.status.conditions[0]
    assert found.type == "Ready"
    return str(found.status), found.reason, found.message


# facts -> phase, Ready, whether it looks again by itself
CASES: dict[str, tuple[DatasetFacts, DatasetPhase, tuple[str, str, str], bool]] = {
    "a draft": (
        known(dataset=dataset(suspend=True)),
        DatasetPhase.DRAFT,
        ("False", "Draft", "a draft: set spec.suspend to false to make the snapshot"),
        False,
    ),
    "records on a volume, just applied": (
        known(
            dataset=dataset(
                selections=[{"source": {"volume": {"claimName": "data"}}, "format": "records"}]
            )
        ),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is being made"),
        False,
    ),
    "a groupBy that is no regular expression": (
        known(dataset=dataset(groupBy="(cam")),
        DatasetPhase.FAILED,
        (
            "False",
            "InvalidGroupBy",
            "Dataset train: groupBy '(cam' is no regular expression that can be used (missing ): "
            "(cam): correct it; look-around and back-references are not available",
        ),
        False,
    ),
    "a groupBy without parentheses": (
        known(dataset=dataset(groupBy="cam-.*")),
        DatasetPhase.FAILED,
        (
            "False",
            "InvalidGroupBy",
            "Dataset train: groupBy 'cam-.*' has 0 groups in parentheses and needs exactly one, "
            r"around what belongs together, for example ^(cam\d+)_; write (?:...) for "
            "parentheses that only bracket",
        ),
        False,
    ),
    "a groupBy column without records": (
        known(dataset=dataset(groupBy="camera")),
        DatasetPhase.FAILED,
        (
            "False",
            "InvalidGroupBy",
            "Dataset train: groupBy 'camera' is the name of a column, and the format 'folders' "
            "has no columns: give a regular expression over the images' paths, for example "
            r"^(cam\d+)_",
        ),
        False,
    ),
    "a missing Secret": (
        known(secret_present=False),
        DatasetPhase.PENDING,
        (
            "False",
            "StoreSecretMissing",
            "waiting for Secret trainyard-store in namespace demo: create it with the keys "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        True,
    ),
    "just applied": (
        known(),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is being made"),
        False,
    ),
    "the Job's name is taken": (
        known(job=replace(JOB, owner_uid="x")),
        DatasetPhase.PENDING,
        (
            "False",
            "JobNameTaken",
            "Job tds-999999998888 was made by another and has the name that this dataset needs: "
            "delete it with kubectl delete job tds-999999998888",
        ),
        True,
    ),
    "the Job runs": (
        known(job=JOB, pod=replace(POD, phase="Running")),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is being made"),
        False,
    ),
    "the image cannot be pulled": (
        known(job=JOB, pod=NO_IMAGE),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "ImagePullFailed",
            "image trainer:1 cannot be had on node gpu-1: no such tag; bring it there, or "
            "correct the operator's setting trainer.image, which begins the snapshot again",
        ),
        False,
    ),
    "the pod cannot be placed": (
        known(
            job=JOB, pod=replace(POD, target_node="", unschedulable="0/2 nodes are available: a, b")
        ),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Unschedulable", "the snapshot's pod cannot be placed: a, b"),
        False,
    ),
    "a claim is missing": (
        known(
            job=JOB,
            pod=replace(POD, unschedulable='persistentvolumeclaim "pictures" not found'),
        ),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "Unschedulable",
            'the snapshot\'s pod cannot be placed: persistentvolumeclaim "pictures" not found',
        ),
        False,
    ),
    "a volume may be on its way": (
        known(job=JOB, pod=replace(POD, node="gpu-1", waiting_reason="ContainerCreating")),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is being made"),
        True,
    ),
    "a volume cannot be mounted": (
        known(
            job=JOB,
            pod=replace(POD, node="gpu-1", waiting_reason="ContainerCreating"),
            start_failure=StartFailure(
                Reason.VOLUME_NOT_MOUNTED, "timed out waiting for the condition"
            ),
        ),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "VolumeNotMounted",
            "a volume cannot be mounted on node gpu-1: timed out waiting for the condition; make "
            "the folder on the node, or mend the volume",
        ),
        True,
    ),
    "a pod was killed": (
        known(job=replace(JOB, failed_pods=1), pod=replace(POD, phase="Failed", exit_code=137)),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "Snapshotting",
            "the trainer was ended by SIGKILL, and not by Kubernetes; find out who did so on the "
            "node; its kernel's log tells when the machine itself had too little memory; the next "
            "attempt goes on from what is packed",
        ),
        False,
    ),
    "the second attempt runs": (
        known(job=replace(JOB, failed_pods=1), pod=replace(POD, phase="Running")),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is being made, attempt 2"),
        False,
    ),
    "a Job of another image is being removed": (
        known(job=replace(JOB, image="misspelt:1", deleting=True), pod=NO_IMAGE),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is begun again once its pod is gone"),
        False,
    ),
    "the pod of a Job that is being removed was never made": (
        known(
            job=replace(JOB, image="misspelt:1", deleting=True),
            pod=replace(NO_IMAGE, phase="Failed", deletion_time=after(60)),
        ),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "Snapshotting",
            "pod tp-111111112222-1-x7x7x is being ended; the next one goes on from what is packed",
        ),
        True,
    ),
    "the pod has succeeded and the Job does not know": (
        known(job=JOB, pod=replace(POD, phase="Succeeded", exit_code=0)),
        DatasetPhase.SNAPSHOTTING,
        ("False", "Snapshotting", "the snapshot is made, its Job is being concluded"),
        False,
    ),
    "the pod is evicted": (
        known(job=JOB, pod=replace(POD, phase="Running", node="gpu-1", deletion_time=after(60))),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "Snapshotting",
            "pod tp-111111112222-1-x7x7x is being ended; the next one goes on from what is packed",
        ),
        True,
    ),
    "the pod's node is lost": (
        known(job=JOB, pod=replace(POD, phase="Running", node="gpu-1", deletion_time=after(-100))),
        DatasetPhase.SNAPSHOTTING,
        (
            "False",
            "AwaitingEvidence",
            "pod tp-111111112222-1-x7x7x was deleted and node gpu-1 does not say that it is gone: "
            "the snapshot goes on once the node is back, was deleted, or has the taint "
            "out-of-service",
        ),
        True,
    ),
    "the memory does not suffice, attempt for attempt": (
        known(job=BROKEN, pod=replace(POD, phase="Failed", exit_code=137, oom_killed=True)),
        DatasetPhase.FAILED,
        (
            "False",
            "OutOfMemory",
            "the container was killed for its memory limit: raise the operator's setting "
            "trainer.snapshotMemory",
        ),
        False,
    ),
    "the Job failed over bad labels": (
        known(
            job=BROKEN,
            pod=replace(
                POD, phase="Failed", exit_code=65, last_words=last_words("BadData", "a.txt:3: NaN")
            ),
        ),
        DatasetPhase.FAILED,
        ("False", "BadData", "a.txt:3: NaN"),
        False,
    ),
    "the snapshot cannot be read yet": (
        known(job=DONE, snapshot=Unavailable("the store said 503")),
        DatasetPhase.SNAPSHOTTING,
        ("False", "StoreUnavailable", "the store said 503"),
        True,
    ),
    "the snapshot is not what was reported": (
        known(job=DONE, snapshot=Mismatch("s3://b/snapshot.json does not exist")),
        DatasetPhase.FAILED,
        ("False", "SnapshotFailed", "s3://b/snapshot.json does not exist"),
        False,
    ),
    "the snapshot is verified": (
        known(job=DONE, snapshot=snapshot_manifest()),
        DatasetPhase.READY,
        ("True", "Snapshotted", "100 images, 120 labels"),
        False,
    ),
}


@pytest.mark.parametrize(("facts", "phase", "condition", "again"), CASES.values(), ids=CASES)
def test_state(
    facts: DatasetFacts, phase: DatasetPhase, condition: tuple[str, str, str], again: bool
) -> None:
    decision = decide_dataset(facts, NOW)
    assert decision.status.phase is phase
    assert ready(decision) == condition
    assert decision.look_again_at == (NOW + POLL if again else None)
    assert decision.events == (
        Happening(condition[1], condition[2], warning=phase is DatasetPhase.FAILED),
    )


@pytest.mark.parametrize("facts", [case[0] for case in CASES.values()], ids=CASES)
def test_deciding_again_with_the_written_status_changes_nothing(facts: DatasetFacts) -> None:
    first = decide_dataset(facts, NOW)
    stored = type(first.status).model_validate(first.status.to_wire())
    written = facts.dataset.model_copy(update={"status": stored})
    second = decide_dataset(replace(facts, dataset=written), after(60))
    assert second.status.to_wire() == first.status.to_wire()
    assert second.events == ()


@pytest.mark.parametrize("phase", [DatasetPhase.READY, DatasetPhase.FAILED])
@pytest.mark.parametrize("facts", [case[0] for case in CASES.values()], ids=CASES)
def test_ready_and_failed_never_change(facts: DatasetFacts, phase: DatasetPhase) -> None:
    status = facts.dataset.status.model_copy(update={"phase": phase})
    ended = facts.dataset.model_copy(update={"status": status})
    assert decide_dataset(replace(facts, dataset=ended), NOW) == Decision(status)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_finished_with_either_end_and_never_before(
    case: tuple[DatasetFacts, DatasetPhase, tuple[str, str, str], bool],
) -> None:
    facts, phase, (_, *why), _ = case
    conditions = decide_dataset(facts, NOW).status.conditions
    finished = [item for item in conditions if item.type == "Finished"]
    if phase in (DatasetPhase.READY, DatasetPhase.FAILED):
        assert [(str(x.status), x.reason, x.message) for x in finished] == [("True", *why)]
    else:
        assert finished == []


def test_snapshot_job_is_told_what_to_read_and_where_to_write() -> None:
    (action,) = decide_dataset(known(), NOW).actions
    assert isinstance(action, CreateSnapshotJob)
    action.run.verify("snapshot.yaml")
    assert action.run.selections == dataset().spec.selections
    assert action.run.output == snapshot_root(STORE_ROOT, "demo") == "s3://trainyard/datasets/demo"


def test_snapshot_job_is_told_what_belongs_together() -> None:
    grouped = dataset(groupBy=r"^(cam\d+)_")
    (action,) = decide_dataset(known(dataset=grouped), NOW).actions
    assert isinstance(action, CreateSnapshotJob)
    assert action.run.group_by == r"^(cam\d+)_"


def test_snapshot_job_is_told_how_large_it_may_become() -> None:
    limits = SnapshotLimits(max_samples=7, max_bytes=9)
    settings = replace(known().settings, dataset_limits=limits)
    (action,) = decide_dataset(known(settings=settings), NOW).actions
    assert isinstance(action, CreateSnapshotJob)
    assert action.run.limits == limits


def test_a_draft_may_have_a_group_by_that_its_selections_do_not_fit_yet() -> None:
    draft = dataset(suspend=True, groupBy="camera")
    assert decide_dataset(known(dataset=draft), NOW).status.phase is DatasetPhase.DRAFT


def recorded(facts: DatasetFacts) -> DatasetFacts:
    status = facts.dataset.status.model_copy(update={"phase": DatasetPhase.SNAPSHOTTING})
    return replace(facts, dataset=facts.dataset.model_copy(update={"status": status}))


@pytest.mark.parametrize("name", [name for name in CASES if "just applied" not in name])
def test_a_job_is_made_once_and_only_for_what_can_be_read(name: str) -> None:
    facts = CASES[name][0]
    assert decide_dataset(recorded(facts) if facts.job else facts, NOW).actions == ()


def test_a_job_whose_making_was_cut_off_before_the_record_is_made_whole() -> None:
    facts = CASES["the Job runs"][0]
    (action,) = decide_dataset(facts, NOW).actions
    assert action == decide_dataset(known(), NOW).actions[0]


def test_ready_dataset_says_what_is_in_it() -> None:
    status = decide_dataset(known(job=DONE, snapshot=snapshot_manifest()), NOW).status
    assert status.snapshot is not None and status.display is not None
    assert status.snapshot.digest == "a" * 64
    assert (status.display.size, status.display.classes) == ("2.0 KiB", "1")
    assert status.progress is None


def test_progress_of_the_snapshot_is_shown_and_kept_without_a_report() -> None:
    told = report(kind="snapshot", stage="read", percent=30, message="read 300 of 1000")
    first = decide_dataset(known(job=JOB, report=told), NOW).status
    assert first.progress is not None
    assert (first.progress.percent, first.progress.message) == (30, "read 300 of 1000")
    kept = known(job=JOB, dataset=dataset().model_copy(update={"status": first}))
    assert decide_dataset(kept, after(5)).status.progress == first.progress


def test_a_failed_dataset_makes_no_progress() -> None:
    told = report(kind="snapshot", stage="read", percent=30, message="read 300 of 1000")
    first = decide_dataset(known(job=JOB, report=told), NOW).status
    broken = known(job=BROKEN, dataset=dataset().model_copy(update={"status": first}))
    assert decide_dataset(broken, after(5)).status.progress is None


OLD = replace(JOB, image="misspelt:1")


def test_a_job_that_waits_for_an_image_which_the_setting_names_no_more_is_made_anew() -> None:
    decision = decide_dataset(recorded(known(job=OLD, pod=NO_IMAGE)), NOW)
    # Its name stays taken until its pod is gone: there is never a second one beside it.
    assert decision.actions == (DeleteJob(OLD, pods_first=True),)
    assert decision.status.phase is DatasetPhase.SNAPSHOTTING
    assert ready(decision)[1:] == (
        "Snapshotting",
        "the snapshot is begun again with image trainer:1, which the operator's setting "
        "trainer.image names now, for image misspelt:1 cannot be had",
    )


@pytest.mark.parametrize(
    ("job", "pod"),
    [
        (OLD, replace(NO_IMAGE, phase="Running", waiting_reason="")),
        (OLD, replace(NO_IMAGE, waiting_reason="ContainerCreating")),
        (OLD, replace(NO_IMAGE, deletion_time=after(60))),
        (OLD, None),
        (replace(OLD, deleting=True), NO_IMAGE),
        (replace(OLD, image="trainer:1"), replace(NO_IMAGE, image="mirror/trainer:1")),
        (replace(OLD, image=""), replace(NO_IMAGE, image="misspelt:1")),
    ],
    ids=[
        "its container runs",
        "its container is being made",
        "its pod is being ended",
        "it has no pod",
        "it is being removed",
        "admission had its pod take the image from elsewhere",
        "it was made before Jobs said their image",
    ],
)
def test_no_other_job_is_made_anew(job: JobFacts, pod: PodFacts | None) -> None:
    assert decide_dataset(recorded(known(job=job, pod=pod)), NOW).actions == ()


def test_a_pod_that_its_kubelet_ends_each_time_is_given_up_after_five_attempts() -> None:
    ended = replace(POD, phase="Failed", node="gpu-1", disruption="TerminationByKubelet")
    running = recorded(known(job=JOB, pod=replace(POD, phase="Running"), pressed=4))
    assert ready(decide_dataset(running, NOW))[2] == "the snapshot is being made, attempt 5"
    facts = recorded(known(job=JOB, pod=ended, pressed=5))
    decision = decide_dataset(facts, NOW)
    assert decision.status.phase is DatasetPhase.FAILED
    assert ready(decision) == (
        "False",
        "NodePressure",
        "kubelets ended the snapshot's pod 5 times, for want of memory or disk of their nodes: "
        "free some there (kubectl describe node says which), then make a new Dataset",
    )
    assert decision.actions == (SuspendJob(JOB),)
    # A pass that was cut off before the status was written.
    again = decide_dataset(replace(facts, job=replace(JOB, suspended=True)), NOW)
    assert (again.status, again.actions) == (decision.status, ())


def test_nothing_is_done_for_a_dataset_that_is_being_deleted() -> None:
    made = dataset()
    meta = made.metadata.model_copy(update={"deletion_timestamp": NOW})
    decision = decide_dataset(known(dataset=made.model_copy(update={"metadata": meta})), NOW)
    assert decision == Decision(made.status)
