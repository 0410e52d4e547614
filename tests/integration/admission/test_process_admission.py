"""Which TrainingProcesses the API server takes, and what it says of the others."""

from __future__ import annotations

import pytest
from admission_server import PROCESS, REMOVE, Refused, Server, changed, fresh
from cases import Accepted, Edit, Refusal, check_accepted, check_edit, check_refused, table

from trainyard.api.process import TrainingProcess

EMAIL = "an e-mail address, one, such as team@example.org, without a name or line breaks"
OVERLAP = "a Dataset cannot be in datasets.train and also in datasets.dev or datasets.test"
FULL = changed(
    PROCESS,
    overrides={"hyperparameters": {"epochs": 3}},
    datasets={"train": ["train"], "dev": ["dev"], "test": ["test"]},
    retry={"limit": 2},
    startDeadlineSeconds=60,
    activeDeadlineSeconds=60,
    stallTimeoutSeconds=60,
    onExistingRun="Reuse",
)


@table(
    [
        Accepted("only what is required", PROCESS),
        Accepted("a draft", changed(PROCESS, suspend=True)),
        Accepted("everything said", FULL),
        Accepted("a node named by its host name", changed(PROCESS, targetNode="n1.example.org")),
        Accepted("dev and test the same",
                 changed(PROCESS, datasets__dev=["dev"], datasets__test=["dev"])),
        Accepted("an e-mail address", changed(
            PROCESS, notifications={"email": ["o'hara+ty@example.org", "root@localhost"]})),
        Accepted("a webhook", changed(
            PROCESS, notifications={"webhooks": ["https://example.org/hook?a=b"]})),
        Accepted("the lowest priority", changed(PROCESS, priority=-1000)),
    ]
)  # fmt: skip
def test_process_is_accepted(server: Server, row: Accepted) -> None:
    stored = check_accepted(server, row)
    read, meant = (TrainingProcess.model_validate(item) for item in (stored, row.manifest))
    assert read.spec == meant.spec


def test_one_override_brings_no_default_of_another_field(server: Server) -> None:
    for overrides in (
        {"hyperparameters": {"epochs": 3}},
        {"augmentation": {"noise": 0.5}},
        {"evaluation": {"iouThreshold": 0.5}},
        {"resources": {"gpus": 0}},
    ):
        stored = server.create(changed(PROCESS, overrides=overrides), dry_run=True)
        assert stored["spec"]["overrides"] == overrides


@table(
    [
        Refusal("no capability", changed(PROCESS, capability=REMOVE),
                "spec.capability: Required value"),
        Refusal("no dataset to train on", changed(PROCESS, datasets__train=[]),
                "spec.datasets.train in body should have at least 1 items"),
        Refusal("no dev", changed(PROCESS, datasets__dev=REMOVE),
                "spec.datasets.dev: Required value"),
        Refusal("train as dev", changed(PROCESS, datasets__dev=["train"]), OVERLAP),
        Refusal("train as test", changed(PROCESS, datasets__test=["train"]), OVERLAP),
        Refusal("a dataset twice in one split", changed(PROCESS, datasets__train=["a", "a"]),
                'spec.datasets.train[1]: Duplicate value: "a"'),
        Refusal("a name that is none", changed(PROCESS, template="a/b"),
                "a name has lower-case letters, digits and '-' only, and neither starts nor ends "
                "with '-'"),
        Refusal("a node that no node can be", changed(PROCESS, targetNode="gpu 1"),
                "the name of a node has lower-case letters, digits, '-' and '.' only"),
        Refusal("a header in an e-mail address", changed(
                    PROCESS, notifications={"email": ["a@b.org\r\nBcc: c@d.org"]}), EMAIL),
        Refusal("a line feed after an e-mail address", changed(
                    PROCESS, notifications={"email": ["a@b.org\n"]}), EMAIL),
        Refusal("two addresses in one", changed(
                    PROCESS, notifications={"email": ["a@b.org,c@d.org"]}), EMAIL),
        Refusal("50,000 recipients", changed(
                    PROCESS, notifications={"email": [f"a{n}@b.org" for n in range(50_000)]}),
                "spec.notifications.email: Too many: 50000: must have at most 50 items"),
        Refusal("a webhook to a file", changed(
                    PROCESS, notifications={"webhooks": ["file:///etc/passwd"]}),
                "a URL that starts with https:// or http://, without spaces"),
        Refusal("a negative deadline", changed(PROCESS, activeDeadlineSeconds=-1),
                "spec.activeDeadlineSeconds in body should be greater than or equal to 1"),
        Refusal("a negative start deadline", changed(PROCESS, startDeadlineSeconds=-1),
                "spec.startDeadlineSeconds in body should be greater than or equal to 1"),
        Refusal("a priority out of bounds", changed(PROCESS, priority=1001),
                "spec.priority in body should be less than or equal to 1000"),
        Refusal("an override out of bounds",
                changed(PROCESS, overrides={"hyperparameters": {"epochs": 0}}),
                "spec.overrides.hyperparameters.epochs in body should be greater than or equal"),
        Refusal("an override of memory that is none",
                changed(PROCESS, overrides={"resources": {"memory": "0"}}),
                "a quantity above zero, such as 2, 500m or 8Gi"),
        Refusal("an override of what cannot be overridden",
                changed(PROCESS, overrides={"engine": "yolo-det"}),
                'unknown field "spec.overrides.engine"'),
        Refusal("an unknown field", changed(PROCESS, node="gpu-1"), 'unknown field "spec.node"'),
        Refusal("an unknown policy", changed(PROCESS, onExistingRun="Skip"),
                'Unsupported value: "Skip": supported values: "Train", "Reuse"'),
    ]
)  # fmt: skip
def test_process_is_refused(server: Server, row: Refusal) -> None:
    check_refused(server, row)


def frozen(field: str) -> str:
    """What a person reads who changes `field`."""
    return f"{field} cannot be changed after creation: create a new TrainingProcess"


_OTHER_VALUES = {
    "capability": "other",
    "template": "other",
    "overrides": {"hyperparameters": {"epochs": 4}},
    "datasets": {"test": ["other"]},
    "targetNode": "gpu-2",
    "retry": {"limit": 3},
    "startDeadlineSeconds": 61,
    "activeDeadlineSeconds": 61,
    "stallTimeoutSeconds": 61,
    "onExistingRun": "Train",
}
_OPTIONAL = {
    "overrides": {"hyperparameters": {"epochs": 4}},
    "retry": {"limit": 3},
    "startDeadlineSeconds": 61,
    "activeDeadlineSeconds": 61,
    "stallTimeoutSeconds": 61,
}


@table(
    [
        *(
            Edit(f"{field} with another value", FULL, {field: value}, frozen(field))
            for field, value in _OTHER_VALUES.items()
        ),
        *(
            Edit(f"{field} added", PROCESS, {field: value}, frozen(field))
            for field, value in _OPTIONAL.items()
        ),
        *(Edit(f"{field} removed", FULL, {field: None}, frozen(field)) for field in _OPTIONAL),
        Edit(
            "one override more",
            FULL,
            {"overrides": {"augmentation": {"noise": 0.1}}},
            frozen("overrides"),
        ),
        Edit("the held-out data removed", FULL, {"datasets": {"test": None}}, frozen("datasets")),
        Edit("the policy removed", FULL, {"onExistingRun": None}, frozen("onExistingRun")),
    ]
)
def test_process_keeps_what_it_was_created_with(server: Server, row: Edit) -> None:
    check_edit(server, row)


@table(
    [
        Edit("stopped", PROCESS, {"suspend": True}),
        Edit("started", changed(PROCESS, suspend=True), {"suspend": False}),
        Edit("another priority", PROCESS, {"priority": 5}),
        Edit("an address added", PROCESS, {"notifications": {"email": ["a@b.org"]}}),
        Edit(
            "the notifications removed",
            changed(PROCESS, notifications={"email": ["a@b.org"]}),
            {"notifications": None},
        ),
        Edit("a time to live added", PROCESS, {"ttlSecondsAfterFinished": 0}),
        Edit(
            "the time to live removed",
            changed(PROCESS, ttlSecondsAfterFinished=60),
            {"ttlSecondsAfterFinished": None},
        ),
    ]
)
def test_process_may_be_changed_where_it_says_so(server: Server, row: Edit) -> None:
    check_edit(server, row)


def test_every_field_of_a_process_is_in_one_of_the_two_tables() -> None:
    mutable = {"suspend", "priority", "notifications", "ttlSecondsAfterFinished"}
    fields = {
        info.alias or name
        for name, info in TrainingProcess.model_fields["spec"].annotation.model_fields.items()
    }
    assert fields == mutable | _OTHER_VALUES.keys()


def test_spec_of_a_process_cannot_be_dropped(server: Server) -> None:
    manifest = fresh(PROCESS)
    stored = server.create(manifest)
    del stored["spec"]
    with pytest.raises(Refused, match="spec: Required value"):
        server.replace(stored)
    server.delete(manifest)


def test_processes_are_selected_by_template_capability_and_node(server: Server) -> None:
    first = fresh(changed(PROCESS, template="t1", capability="c1", targetNode="n1"))
    second = fresh(changed(PROCESS, template="t2", capability="c2", targetNode="n2"))
    for manifest in (first, second):
        server.create(manifest)
    name = first["metadata"]["name"]
    for selector in ("spec.template=t1", "spec.capability=c1", "spec.targetNode=n1"):
        assert server.names("TrainingProcess", selector) == [name]
    for manifest in (first, second):
        server.delete(manifest)
