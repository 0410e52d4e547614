"""Why an attempt failed, as precisely as it can be known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import FAILED_JOB, POD, last_words
from trainyard.api.reasons import Reason
from trainyard.api.report import ExitCode
from trainyard.decide.facts import PodFacts
from trainyard.decide.outcome import Outcome, of_failure

FAILED_POD = replace(POD, phase="Failed", exit_code=1)

CASES: dict[str, tuple[PodFacts | None, Reason, str]] = {
    "a pod that is gone": (
        None,
        Reason.TRAINER_ERROR,
        "the Job failed and its pod is gone: Job has reached the backoff limit; create a new "
        "process",
    ),
    "out of memory, whatever the trainer said": (
        replace(
            FAILED_POD, oom_killed=True, memory_limit="3Gi", last_words=last_words("BadData", "x")
        ),
        Reason.OUT_OF_MEMORY,
        "the container was killed for its memory limit of 3Gi: raise resources.memory, or use a "
        "smaller batchSize or fewer workers",
    ),
    "the trainer's own reason, before its exit code": (
        replace(
            FAILED_POD,
            exit_code=ExitCode.BAD_CONFIG,
            last_words=last_words("BadData", "labels/7.txt:3: class 9 is not among 0..2"),
        ),
        Reason.BAD_DATA,
        "labels/7.txt:3: class 9 is not among 0..2",
    ),
    "a reason without a message": (
        replace(FAILED_POD, last_words=last_words("GPUNotVisible")),
        Reason.GPU_NOT_VISIBLE,
        Reason.GPU_NOT_VISIBLE.sentence,
    ),
    "too much disk, whatever the trainer said when it was told to end": (
        replace(FAILED_POD, over_limit="it uses too much disk", last_words=last_words("Stopped")),
        Reason.DISK_LIMIT_EXCEEDED,
        "the kubelet of gpu-1 ended the pod: it uses too much disk; have an administrator raise "
        "the limit of ephemeral-storage (of the namespace's LimitRange), or use less data",
    ),
    "bad data, and too much disk at the end": (
        replace(FAILED_POD, over_limit="it uses too much disk", last_words=last_words("BadData")),
        Reason.BAD_DATA,
        Reason.BAD_DATA.sentence,
    ),
    "bad data by the exit code": (
        replace(FAILED_POD, exit_code=65),
        Reason.BAD_DATA,
        "images or labels cannot be used: mend what is named and make a new Dataset",
    ),
    "the store by the exit code": (
        replace(FAILED_POD, exit_code=69),
        Reason.STORE_UNAVAILABLE,
        "the object store did not answer, or answered with an error of its own: see whether the "
        "store is up and can be reached from the nodes",
    ),
    "refused keys by the exit code": (
        replace(FAILED_POD, exit_code=77),
        Reason.STORE_ACCESS_DENIED,
        Reason.STORE_ACCESS_DENIED.sentence,
    ),
    "a full disk by the exit code": (
        replace(FAILED_POD, exit_code=74),
        Reason.DISK_FULL,
        Reason.DISK_FULL.sentence,
    ),
    "stopped by the exit code": (
        replace(FAILED_POD, exit_code=75),
        Reason.INTERRUPTED,
        Reason.INTERRUPTED.sentence,
    ),
    "a bad run.yaml by the exit code": (
        replace(FAILED_POD, exit_code=78),
        Reason.INVALID_RUN_FILE,
        "the trainer could not use its run.yaml, or what it names: correct what is named, then "
        "create a new process",
    ),
    "no GPU by the exit code": (
        replace(FAILED_POD, exit_code=80),
        Reason.GPU_NOT_VISIBLE,
        "the run asked for a GPU and the pod sees none: check the device plugin and the runtime "
        "class, or set resources.gpus: 0",
    ),
    "too little GPU memory by the exit code": (
        replace(FAILED_POD, exit_code=81),
        Reason.GPU_OUT_OF_MEMORY,
        "the GPU's memory did not suffice: use a smaller batchSize or imageSize, or "
        "retry.shrinkBatchOnOutOfMemory",
    ),
    "a loss that is no number by the exit code": (
        replace(FAILED_POD, exit_code=82),
        Reason.LOSS_NOT_FINITE,
        "the loss became NaN or infinite: use a smaller learningRate, a longer warm-up "
        "(warmupEpochs), or amp: false",
    ),
    "bad weights to start from by the exit code": (
        replace(FAILED_POD, exit_code=83),
        Reason.BASE_MODEL_UNUSABLE,
        "the weights that training starts from cannot be used: name other weights in baseModel of "
        "the template",
    ),
    "an unknown exit code": (
        replace(FAILED_POD, exit_code=3),
        Reason.TRAINER_ERROR,
        f"the trainer ended with exit code 3; see kubectl logs {POD.name}",
    ),
    "a crash": (
        replace(FAILED_POD, exit_code=139),
        Reason.TRAINER_ERROR,
        f"the trainer crashed (SIGSEGV); see kubectl logs {POD.name}",
    ),
    "killed by somebody on the node": (
        replace(FAILED_POD, exit_code=137),
        Reason.INTERRUPTED,
        "the trainer was ended by SIGKILL, and not by Kubernetes; find out who did so on the node; "
        "its kernel's log tells when the machine itself had too little memory",
    ),
    "a container that its runtime cannot start": (
        replace(FAILED_POD, exit_code=128, start_error="runc create failed: no such program"),
        Reason.CONTAINER_NOT_CREATED,
        "the container could not be started on node gpu-1: runc create failed: no such program; "
        f"{Reason.CONTAINER_NOT_CREATED.remedy}",
    ),
    "an error of the trainer": (
        replace(FAILED_POD, last_words=last_words("TrainerError", "ValueError: x")),
        Reason.TRAINER_ERROR,
        f"the trainer failed with ValueError: x; see kubectl logs {POD.name}",
    ),
    "the words of a store": (
        replace(FAILED_POD, last_words=last_words("StoreUnavailable", "s3 refuses (403)")),
        Reason.STORE_UNAVAILABLE,
        "s3 refuses (403); see whether the store is up and can be reached from the nodes",
    ),
    "a store that refuses the credentials": (
        replace(FAILED_POD, last_words=last_words("StoreAccessDenied", "s3 refuses (403)")),
        Reason.STORE_ACCESS_DENIED,
        "s3 refuses (403); correct the keys in the namespace's Secret trainyard-store, or have an "
        "administrator of the store allow what is named",
    ),
    "a full disk": (
        replace(FAILED_POD, last_words=last_words("DiskFull", "no room: free the disk")),
        Reason.DISK_FULL,
        "no room: free the disk",
    ),
    "an unknown reason keeps its message": (
        replace(FAILED_POD, exit_code=3, last_words=last_words("Nonsense", "it broke")),
        Reason.TRAINER_ERROR,
        f"the trainer ended with exit code 3: it broke; see kubectl logs {POD.name}",
    ),
    "no exit code": (
        replace(FAILED_POD, exit_code=None),
        Reason.TRAINER_ERROR,
        f"the trainer ended with no exit code; see kubectl logs {POD.name}",
    ),
}


@pytest.mark.parametrize(("pod", "reason", "message"), CASES.values(), ids=CASES)
def test_cause(pod: PodFacts | None, reason: Reason, message: str) -> None:
    assert of_failure(FAILED_JOB, pod) == Outcome(reason, message)


def test_every_exit_code_of_the_trainer_but_two_has_a_reason_of_its_own() -> None:
    unnamed = {
        code
        for code in ExitCode
        if of_failure(FAILED_JOB, replace(FAILED_POD, exit_code=code)).reason
        is Reason.TRAINER_ERROR
    }
    assert unnamed == {ExitCode.OK, ExitCode.INTERNAL_ERROR}
