"""Condition types and reasons: the vocabulary of `status.conditions`.

Each reason is one CamelCase word with a comment that says when it appears.
"""

from __future__ import annotations

from enum import StrEnum


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
    """Why a condition is what it is."""

    # Validated: it waits for what may still come.
    VALID = "Valid"  # everything fits
    STORE_SECRET_MISSING = "StoreSecretMissing"  # noqa: S105 -- the namespace has no Secret trainyard-store
    CAPABILITY_NOT_FOUND = "CapabilityNotFound"  # spec.capability names none in the namespace
    TEMPLATE_NOT_FOUND = "TemplateNotFound"  # spec.template names none in the namespace
    BASE_MODEL_NOT_FOUND = "BaseModelNotFound"  # baseModel.trainedModel names none there
    WEIGHTS_NOT_ALLOWED = "WeightsNotAllowed"  # trainer.allowedWeights lacks the digest
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"  # trainer.allowedImages lacks the template's image
    DATASET_NOT_FOUND = "DatasetNotFound"  # spec.datasets names one that is not there
    DATASET_NOT_READY = "DatasetNotReady"  # a dataset has no snapshot yet
    STORE_UNAVAILABLE = "StoreUnavailable"  # the object store does not answer; tried again
    COMPARING_SPLITS = "ComparingSplits"  # the splits of another process are being compared first
    # Validated: it never can run as it is.
    ENGINE_MISMATCH = "EngineMismatch"  # this capability, or the base model, is of another engine
    BASE_MODEL_UNUSABLE = (
        "BaseModelUnusable"  # no weights to start from, or bad ones; also of Failed
    )
    INVALID_OVERRIDE = "InvalidOverride"  # template and overrides break a bound or name the unknown
    CLASSES_MISSING = "ClassesMissing"  # the train data lacks a class of the capability
    SPLITS_OVERLAP = "SplitsOverlap"  # the same image is in train and in dev or test
    GROUPS_OVERLAP = "GroupsOverlap"  # samples of one group are in train and in dev or test
    NOT_YET_SUPPORTED = "NotYetSupported"  # a field is set that does not act yet

    # Warnings in status.data: worth knowing, and no reason not to train.
    SIMILAR_IMAGES = "SimilarImages"  # images of dev or test look nearly like one of train
    SIMILARITY_UNKNOWN = "SimilarityUnknown"  # there are too many images to look for such
    HELD_OUT_OVERLAP = "HeldOutOverlap"  # dev and test share images or groups
    BOXES_WITHOUT_OUTLINE = "BoxesWithoutOutline"  # yolo-seg leaves out images that have such boxes
    CLASSES_NOT_JUDGED = "ClassesNotJudged"  # dev or test lacks a class of the capability

    # NodeReserved.
    RESERVED = "Reserved"  # the lock is held for this process
    WAITING_FOR_NODE = "WaitingForNode"  # another process holds the node or goes first
    NODE_NOT_FOUND = "NodeNotFound"  # no node of that name
    NODE_NOT_ENABLED = "NodeNotEnabled"  # the node lacks the label trainyard.dev/target=true
    NODE_NOT_READY = "NodeNotReady"  # its kubelet does not report Ready
    NODE_CORDONED = "NodeCordoned"  # the node is marked unschedulable
    NODE_TAINTED = "NodeTainted"  # a taint that the training does not tolerate
    INSUFFICIENT_GPUS = "InsufficientGPUs"  # fewer allocatable GPUs than asked for
    QUARANTINED = "Quarantined"  # nobody knows whether the last training on the node is over
    AWAITING_EVIDENCE = "AwaitingEvidence"  # the pod is being ended, its kubelet has not said so
    BACKING_OFF = "BackingOff"  # a failed attempt is followed by the next one after a while
    NODE_BUSY = "NodeBusy"  # an older process of the node is not finished, with onBusyNode: Reject
    RELEASED = "Released"  # the run is over and the node is free for the next

    # Running.
    PODS_READY = "PodsReady"  # the training container runs
    STARTING = "Starting"  # the Job was started and has no running pod yet
    IMAGE_PULL_FAILED = "ImagePullFailed"  # the trainer image cannot be had on the node
    UNSCHEDULABLE = "Unschedulable"  # the scheduler does not place the pod
    POD_REFUSED = "PodRefused"  # a quota or an admission policy refuses the Job or its pod
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"  # the node lacks a volume's folder, or cannot mount it
    VERIFYING_ARTEFACTS = "VerifyingArtefacts"  # the run is over, its files are being checked
    JOB_NAME_TAKEN = "JobNameTaken"  # a Job made by another has the name of ours

    # Suspended.
    DRAFT = "Draft"  # spec.suspend was true from the start
    STARTED = "Started"  # spec.suspend is false
    STOPPING = "Stopping"  # the trainer writes its checkpoint and ends
    STOPPED_BY_USER = "StoppedByUser"  # stopped by spec.suspend: true; it can go on

    # ProgressStalled.
    STALLED = "Stalled"  # stallTimeoutSeconds passed without a report; also of Failed
    REPORTING = "Reporting"  # the trainer reports

    # Complete.
    TRAINING_SUCCEEDED = "TrainingSucceeded"  # every file of the manifest was verified
    RUN_REUSED = "RunReused"  # nothing was trained: there is a verified model of the same inputs

    # Failed.
    VALIDATION_FAILED = "ValidationFailed"  # see the condition Validated
    BAD_DATA = "BadData"  # images or labels that cannot be used
    GPU_NOT_VISIBLE = "GPUNotVisible"  # the pod asked for a GPU and saw none
    GPU_OUT_OF_MEMORY = "GPUOutOfMemory"  # the GPU's memory did not suffice
    LOSS_NOT_FINITE = "LossNotFinite"  # the loss became NaN or infinite
    OUT_OF_MEMORY = "OutOfMemory"  # the container was killed for its memory limit
    TRAINER_ERROR = "TrainerError"  # the trainer ended with an error
    STOPPED = "Stopped"  # the trainer was stopped from outside; it goes on with another attempt
    INTERRUPTED = "Interrupted"  # the trainer was told to stop, and not by Kubernetes: a failure
    EVICTED = "Evicted"  # its pod was evicted or deleted; it goes on with another attempt
    NODE_PRESSURE = "NodePressure"  # the kubelet ended the pod for want of memory or disk
    NODE_LOST = "NodeLost"  # the node went away while the run was on it
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"  # startDeadlineSeconds passed
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # activeDeadlineSeconds passed
    RETRIES_EXHAUSTED = "RetriesExhausted"  # the last attempt that retry.limit allows failed too
    RUN_FILE_DELETED = "RunFileDeleted"  # somebody deleted the ConfigMap with run.yaml
    INVALID_RUN_FILE = "InvalidRunFile"  # the trainer could not use its run.yaml
    JOB_DELETED = "JobDeleted"  # somebody deleted the Job of the running attempt
    ARTEFACT_UPLOAD_FAILED = "ArtefactUploadFailed"  # a file is missing or is not what it should be

    # Ready of a Dataset.
    SNAPSHOTTED = "Snapshotted"  # the snapshot is complete and verified
    SNAPSHOTTING = "Snapshotting"  # the snapshot Job runs
    INVALID_GROUP_BY = "InvalidGroupBy"  # spec.groupBy is no pattern with one group, or no column
    DATASET_TOO_LARGE = "DatasetTooLarge"  # over datasets.maxSamples or datasets.maxSize
    SNAPSHOT_FAILED = "SnapshotFailed"  # the snapshot Job ended with an error

    # Ready of the others.
    ACCEPTED = "Accepted"  # processes can use it
    INVALID_TEMPLATE = "InvalidTemplate"  # it names what its engine does not have

    # EvaluationsRead of a TrainedModel.
    EVALUATIONS_LISTED = "EvaluationsListed"  # status.evaluations has all that the store has
    EVALUATIONS_UNUSABLE = "EvaluationsUnusable"  # files that are no evaluation, or too many
    LOCATION_NOT_ALLOWED = "LocationNotAllowed"  # the model lies outside of its namespace's runs
