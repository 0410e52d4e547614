"""Condition types and reasons: the vocabulary of `status.conditions`.

Each reason is one CamelCase word that says itself when it appears and what to do about it. The
catalogue for people, docs/reasons.md, is generated from this (`python -m trainyard.api.crd`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ConditionType(StrEnum):
    """The aspects of an object's state."""

    READY = "Ready"  # Capability, TrainingTemplate, Dataset, TrainedModel
    VALIDATED = "Validated"  # capability, template, datasets and settings fit together
    NODE_RESERVED = "NodeReserved"  # the target node is ours
    RUNNING = "Running"  # the training pod runs
    SUSPENDED = "Suspended"  # it does not start, or was stopped
    PROGRESS_STALLED = "ProgressStalled"  # the trainer has reported nothing for too long
    COMPLETE = "Complete"  # ended with a verified model
    FAILED = "Failed"  # ended without
    FINISHED = "Finished"  # ended, either way; also of a Dataset
    EVALUATIONS_READ = "EvaluationsRead"  # TrainedModel: whether all of its evaluations are listed


class Reason(StrEnum):
    """Why a condition is what it is.

    Attributes
    ----------
    when
        When it appears: a sentence without its full stop.
    remedy
        What to do about it; empty where there is nothing to be done about.
    """

    when: str
    remedy: str

    def __new__(cls, value: str, when: str = "", remedy: str = "") -> Self:
        """A member; looked up by its word alone."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.when, member.remedy = when, remedy
        return member

    @property
    def sentence(self) -> str:
        """Cause and remedy."""
        return f"{self.when}: {self.remedy}" if self.remedy else self.when

    # Validated: it waits for what may still come.
    VALID = "Valid", "capability, template, datasets and settings fit together"
    STORE_SECRET_MISSING = (
        "StoreSecretMissing",
        "the namespace has no Secret trainyard-store, or it lacks a key",
        "create it with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
    CAPABILITY_NOT_FOUND = (
        "CapabilityNotFound",
        "spec.capability names none in the namespace",
        "apply it",
    )
    TEMPLATE_NOT_FOUND = "TemplateNotFound", "spec.template names none in the namespace", "apply it"
    BASE_MODEL_NOT_FOUND = (
        "BaseModelNotFound",
        "baseModel.trainedModel of the template names none in the namespace",
        "train or apply it",
    )
    WEIGHTS_NOT_ALLOWED = (
        "WeightsNotAllowed",
        "the operator's settings lack the digest of baseModel.weights",
        "have an administrator add it to trainer.allowedWeights",
    )
    IMAGE_NOT_ALLOWED = (
        "ImageNotAllowed",
        "the operator's settings lack the template's image",
        "have an administrator add it to trainer.allowedImages, or leave image out",
    )
    DATASET_NOT_FOUND = (
        "DatasetNotFound",
        "spec.datasets names one that is not in the namespace",
        "apply it",
    )
    DATASET_NOT_READY = (
        "DatasetNotReady",
        "a dataset has no snapshot yet",
        "see kubectl describe tds",
    )
    DATASET_FAILED = (
        "DatasetFailed",
        "a dataset has failed, which it stays",
        "mend what it says, then delete it and apply it again",
    )
    STORE_UNAVAILABLE = (
        "StoreUnavailable",
        "the object store did not answer, or answered with an error of its own",
        "see whether the store is up and can be reached from the nodes",
    )
    STORE_ACCESS_DENIED = (
        "StoreAccessDenied",
        "the object store refuses the credentials, or what is asked with them",
        "correct the keys in the namespace's Secret trainyard-store, or have an administrator of "
        "the store allow what is named",
    )
    STORE_CONTENT_UNUSABLE = (
        "StoreContentUnusable",
        "what is needed is not in the object store, or is not what was written there",
        "put it back from a backup, or correct what names it; a damaged snapshot needs a new "
        "Dataset",
    )
    COMPARING_SPLITS = (
        "ComparingSplits",
        "the splits of another process are being compared first",
    )

    # Validated: it never can run as it is.
    ENGINE_MISMATCH = (
        "EngineMismatch",
        "the template's engine does not train this type of capability, or the base model is "
        "of another engine",
        "use a template with an engine that does",
    )
    BASE_MODEL_UNUSABLE = (
        "BaseModelUnusable",
        "the weights that training starts from cannot be used",
        "name other weights in baseModel of the template",
    )
    INVALID_OVERRIDE = (
        "InvalidOverride",
        "template and overrides together break a bound, or name what the engine does not know",
        "correct the field that is named",
    )
    CLASSES_MISSING = (
        "ClassesMissing",
        "the train data lacks a class of the capability, or has it only with a geometry that "
        "it does not learn from",
        "add images of the class, or take it out of the capability",
    )
    SPLITS_OVERLAP = (
        "SplitsOverlap",
        "the same image is in train and in dev or test",
        "take it out of one of them",
    )
    GROUPS_OVERLAP = (
        "GroupsOverlap",
        "samples of one group are in train and in dev or test",
        "keep each group whole on one side",
    )

    # Warnings in status.data: worth knowing, and no reason not to train.
    SIMILAR_IMAGES = (
        "SimilarImages",
        "images of dev or test look nearly like one of train",
        "see whether they are copies: the metrics would be too good",
    )
    SIMILARITY_UNKNOWN = (
        "SimilarityUnknown",
        "there are too many images to look for such",
    )
    HELD_OUT_OVERLAP = (
        "HeldOutOverlap",
        "dev and test share images or groups",
        "keep them apart if test is to tell more than dev",
    )
    BOXES_WITHOUT_OUTLINE = (
        "BoxesWithoutOutline",
        "an engine that learns outlines leaves out images that have boxes only",
        "draw outlines, or use yolo-det",
    )
    CLASSES_NOT_JUDGED = (
        "ClassesNotJudged",
        "dev or test lacks a class of the capability",
        "add images of it if its quality matters",
    )

    # NodeReserved.
    RESERVED = "Reserved", "the lock of the node is held for this process"
    WAITING_FOR_NODE = (
        "WaitingForNode",
        "another process holds the node or goes first",
        "a higher priority goes first, another node may be free (trainyard nodes)",
    )
    NODE_NOT_FOUND = (
        "NodeNotFound",
        "there is no node of that name",
        "use one that kubectl get nodes lists",
    )
    NODE_NOT_ENABLED = (
        "NodeNotEnabled",
        "the node lacks the label trainyard.dev/target=true",
        "have an administrator label it",
    )
    NODE_NOT_READY = (
        "NodeNotReady",
        "the node's kubelet does not report Ready",
        "see kubectl describe node",
    )
    NODE_CORDONED = "NodeCordoned", "the node is marked unschedulable", "kubectl uncordon it"
    NODE_TAINTED = (
        "NodeTainted",
        "the node has a taint that trainings do not tolerate",
        "remove it, or tolerate it in the settings (trainer.tolerations)",
    )
    INSUFFICIENT_GPUS = (
        "InsufficientGPUs",
        "the node has fewer GPUs than the run asks for; given up after gpuWaitSeconds",
        "install the device plugin, use another node, or set resources.gpus: 0",
    )
    QUARANTINED = (
        "Quarantined",
        "nobody knows whether the last training on the node is over",
        "reboot the machine, or see what trainyard nodes release does",
    )
    AWAITING_EVIDENCE = (
        "AwaitingEvidence",
        "a pod should be over and its kubelet has not said so",
        "bring the node back, or see what trainyard nodes release does",
    )
    BACKING_OFF = (
        "BackingOff",
        "a failed attempt is followed by the next one after a while",
    )
    NODE_BUSY = (
        "NodeBusy",
        "an older process of the node is not finished, and the setting onBusyNode is Reject",
        "wait for its end or delete it, then create a new process",
    )
    RELEASED = "Released", "the attempt is over and the node is free for the next"

    # Running.
    PODS_READY = "PodsReady", "the training container runs"
    STARTING = "Starting", "the Job was started and has no running pod yet"
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "the trainer image cannot be had on the node; given up after podStartSeconds",
        "bring it there, or correct trainer.image of the settings or the template's image",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "the scheduler does not place the pod; given up after podStartSeconds",
        "ask for less in resources, or free the node",
    )
    POD_REFUSED = (
        "PodRefused",
        "a quota or an admission policy refuses the Job or its pod; given up after podStartSeconds",
        "raise the quota, ask for less in resources, or have an administrator change the policy",
    )
    VOLUME_NOT_MOUNTED = (
        "VolumeNotMounted",
        "the node lacks a volume's folder, or cannot mount it; given up after podStartSeconds",
        "make the folder on the node, or mend the volume",
    )
    CONTAINER_NOT_CREATED = (
        "ContainerNotCreated",
        "the node's container runtime cannot make the container; given up after podStartSeconds",
        "mend what the sentence names: a runtime class that the node lacks "
        "(trainer.runtimeClassName of the settings), or the runtime of the node",
    )
    VERIFYING_ARTEFACTS = (
        "VerifyingArtefacts",
        "the run is over and its files are being checked",
    )
    JOB_NAME_TAKEN = "JobNameTaken", "a Job made by another has the name of ours", "delete it"

    # Suspended.
    DRAFT = "Draft", "spec.suspend was true from the start", "set it to false to start"
    STARTED = "Started", "spec.suspend is false"
    STOPPING = "Stopping", "the trainer writes its checkpoint and ends"
    STOPPED_BY_USER = "StoppedByUser", "stopped by spec.suspend: true", "set it to false to go on"

    # ProgressStalled.
    STALLED = (
        "Stalled",
        "stallTimeoutSeconds passed without a report of the trainer",
        "see the end of its log; if reports cannot reach the operator, mend the network or "
        "leave the field out",
    )
    REPORTING = "Reporting", "the trainer reports"

    # Complete.
    TRAINING_SUCCEEDED = (
        "TrainingSucceeded",
        "the model is in the store and every file of its manifest was verified",
    )
    RUN_REUSED = (
        "RunReused",
        "nothing was trained: there is a verified model of the same inputs, and onExistingRun"
        " is Reuse",
    )

    # Failed.
    VALIDATION_FAILED = (
        "ValidationFailed",
        "what the process names cannot be trained; the condition Validated has the reason",
        "as it says, then create a new process",
    )
    BAD_DATA = (
        "BadData",
        "images or labels cannot be used",
        "mend what is named and make a new Dataset",
    )
    GPU_NOT_VISIBLE = (
        "GPUNotVisible",
        "the run asked for a GPU and the pod sees none",
        "check the device plugin and the runtime class, or set resources.gpus: 0",
    )
    GPU_OUT_OF_MEMORY = (
        "GPUOutOfMemory",
        "the GPU's memory did not suffice",
        "use a smaller batchSize or imageSize, or retry.shrinkBatchOnOutOfMemory",
    )
    LOSS_NOT_FINITE = (
        "LossNotFinite",
        "the loss became NaN or infinite",
        "use a smaller learningRate, a longer warm-up (warmupEpochs), or amp: false",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "the container was killed for its memory limit",
        "raise resources.memory, or use a smaller batchSize or fewer workers",
    )
    DISK_FULL = (
        "DiskFull",
        "no room was left on the disk that the pod writes to",
        "free the node's disk or make it larger, use less data, or another node",
    )
    DISK_LIMIT_EXCEEDED = (
        "DiskLimitExceeded",
        "the kubelet ended the pod because it used more disk than it may",
        "have an administrator raise the limit of ephemeral-storage (of the namespace's "
        "LimitRange), or use less data",
    )
    SHARED_MEMORY_FULL = (
        "SharedMemoryFull",
        "the processes that load images had too little shared memory",
        "raise resources.sharedMemory, or use fewer hyperparameters.workers",
    )
    TRAINER_ERROR = (
        "TrainerError",
        "the trainer ended with an error that has no reason of its own",
        "read its log (kubectl logs); the end of it is kept with the attempt",
    )
    STOPPED = (
        "Stopped",
        "the trainer was stopped from outside; it goes on with another attempt",
    )
    INTERRUPTED = (
        "Interrupted",
        "the trainer was told to stop or was killed, and not by Kubernetes",
        "find out who did so on the node; its kernel's log tells when the machine itself had too "
        "little memory",
    )
    EVICTED = (
        "Evicted",
        "the pod was evicted or deleted; it goes on with another attempt",
    )
    NODE_PRESSURE = (
        "NodePressure",
        "the kubelet ended the pod for want of memory or disk of the node, or because the node "
        "was shut down",
        "see kubectl describe node",
    )
    NODE_LOST = (
        "NodeLost",
        "the node left the cluster while the attempt ran there",
        "use another node; trainyard nodes tells how this one is given back",
    )
    START_DEADLINE_EXCEEDED = (
        "StartDeadlineExceeded",
        "no attempt ran within startDeadlineSeconds, for what the sentence says",
        "create a new process once that is over, or with a longer deadline",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "the attempts took longer than activeDeadlineSeconds together",
        "create a new process with a longer deadline or fewer epochs",
    )
    RETRIES_EXHAUSTED = (
        "RetriesExhausted",
        "the last attempt that retry.limit allows failed too; the sentence has the cause",
        "as for the cause",
    )
    RUN_FILE_DELETED = (
        "RunFileDeleted",
        "somebody deleted the ConfigMap with run.yaml, and it cannot be made again",
        "create a new process",
    )
    INVALID_RUN_FILE = (
        "InvalidRunFile",
        "the trainer could not use its run.yaml, or what it names",
        "correct what is named, then create a new process",
    )
    JOB_DELETED = (
        "JobDeleted",
        "somebody deleted the Job of the running attempt",
        "create a new process",
    )
    ARTEFACT_UPLOAD_FAILED = (
        "ArtefactUploadFailed",
        "a file of the run is not in the store, or is not what the manifest states",
        "see whether the store is up and nobody else writes there, then create a new process",
    )

    # Ready of a Dataset.
    SNAPSHOTTED = "Snapshotted", "the snapshot is complete and verified"
    SNAPSHOTTING = "Snapshotting", "the snapshot is being made"
    INVALID_GROUP_BY = (
        "InvalidGroupBy",
        "spec.groupBy is no pattern with one group, or no column",
        "correct it in a new Dataset",
    )
    DATASET_TOO_LARGE = (
        "DatasetTooLarge",
        "it has more images or bytes than datasets.maxSamples or datasets.maxSize of the "
        "settings allow",
        "select less, or have an administrator raise them",
    )
    SNAPSHOT_FAILED = (
        "SnapshotFailed",
        "the snapshot could not be made",
        "as the sentence says, in a new Dataset",
    )

    # Ready of the others.
    ACCEPTED = "Accepted", "processes can use it"
    INVALID_TEMPLATE = (
        "InvalidTemplate",
        "the template names what its engine does not have",
        "correct what is named",
    )

    # EvaluationsRead of a TrainedModel.
    EVALUATIONS_LISTED = "EvaluationsListed", "status.evaluations has all that the store has"
    EVALUATIONS_UNUSABLE = (
        "EvaluationsUnusable",
        "files in the folder of evaluations are no evaluation, or are too many",
        "delete those that are named",
    )
    LOCATION_NOT_ALLOWED = (
        "LocationNotAllowed",
        "the model lies outside of its namespace's runs",
        "evaluate a model that was trained or exported there",
    )
