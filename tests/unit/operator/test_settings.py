"""The settings: read once, one sentence for each bad value."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard.decide.facts import OnBusyNode
from trainyard.decide.recipients import NotificationRules, Recipients
from trainyard.notify.smtp import MailServer, Security
from trainyard.notify.webhook import WebhookRules
from trainyard.operator.settings import SettingsError, load_settings, parse_settings
from trainyard.operator.wiring import (
    decision_settings,
    mail_server,
    pod_settings,
    webhook_rules,
)

GOOD: dict[str, Any] = {
    "store": {"bucket": "models", "endpointUrl": "http://store:9000", "prefix": "a/b"},
    "trainer": {"image": "trainer:1"},
}


def text(**changes: Any) -> str:
    return yaml.safe_dump({**GOOD, **changes})


def test_little_is_required_and_the_rest_has_defaults() -> None:
    made = parse_settings(text())
    assert made.store.root == "s3://models/a/b"
    assert made.store.location.to_wire() == {
        "endpointUrl": "http://store:9000",
        "region": "us-east-1",
    }
    assert (made.workers, made.resync_seconds, made.gpu_wait_seconds) == (4, 300, 600)
    assert (made.pod_start_seconds, made.evidence_seconds) == (600, 60)
    election = made.leader_election
    assert election.enabled
    assert (election.name, election.namespace) == ("trainyard-leader", None)
    assert (election.lease_seconds, election.renew_seconds, election.retry_seconds) == (15, 10, 2)
    assert made.progress.url is None


def test_root_without_a_prefix_has_no_slash_at_its_end() -> None:
    assert parse_settings(text(store={"bucket": "models"})).store.root == "s3://models"


def with_cache(**cache: Any) -> dict[str, Any]:
    whole = {"hostPath": "/var/lib/trainyard/cache", "size": "200Gi", **cache}
    return {"trainer": {"image": "x", "cache": whole}}


@pytest.mark.parametrize(
    ("size", "expected"),
    [("200Gi", 200 << 30), ("1.5Ti", 3 << 39), ("500G", 500 * 10**9), ("7k", 7000), (4096, 4096)],
)
def test_size_of_the_cache_is_a_quantity(size: Any, expected: int) -> None:
    cache = pod_settings(parse_settings(text(**with_cache(size=size)))).cache
    assert cache is not None
    assert (cache.path, cache.size_bytes) == ("/var/lib/trainyard/cache", expected)


def test_what_templates_may_name_is_allowed_by_digest() -> None:
    image = f"registry.example/trainer@sha256:{'7' * 64}"
    trainer = {"image": "x", "allowedWeights": ["5" * 64], "allowedImages": [image]}
    made = decision_settings(parse_settings(text(trainer=trainer)))
    assert (made.allowed_weights, made.allowed_images) == ({"5" * 64}, {image})
    plain = decision_settings(parse_settings(text()))
    assert (plain.allowed_weights, plain.allowed_images) == (set(), set())


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        ({}, (10_000_000, 2 << 40)),
        ({"maxSamples": 5, "maxSize": "1.5Gi"}, (5, 3 << 29)),
        ({"maxSamples": 0}, (None, 2 << 40)),
        ({"maxSize": 0}, (10_000_000, None)),
        ({"maxSamples": 0, "maxSize": "0Gi"}, (None, None)),
    ],
)
def test_datasets_have_limits_of_which_0_is_none(
    datasets: dict[str, Any], expected: tuple[int | None, int | None]
) -> None:
    limits = decision_settings(parse_settings(text(datasets=datasets))).dataset_limits
    assert (limits.max_samples, limits.max_bytes) == expected


@pytest.mark.parametrize(
    ("trainer", "field"),
    [
        ({"allowedWeights": ["5" * 63]}, "trainer.allowedWeights.0"),
        ({"allowedWeights": ["*"]}, "trainer.allowedWeights.0"),
        ({"allowedImages": ["registry.example/trainer:latest"]}, "trainer.allowedImages.0"),
    ],
)
def test_what_is_no_digest_is_refused(trainer: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError, match=f"settings: {field}: String should match pattern"):
        parse_settings(text(trainer={"image": "x", **trainer}))


@pytest.mark.parametrize("path", ["/data/cache", "/mnt/nvme0/trainyard", "/var/cache/trainyard"])
def test_cache_is_a_folder_of_its_own(path: str) -> None:
    cache = parse_settings(text(**with_cache(hostPath=path))).trainer.cache
    assert cache is not None
    assert cache.host_path == path


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/etc", "/etc/trainyard", "/var/lib", "/var/lib/kubelet", "/var/lib/kubelet/pods"),
        *("/usr/local/cache", "/proc/1/root", "/dev/shm", "/home", "/tmp", "/mnt", "/root/x"),
    ],
)
def test_cache_in_a_folder_of_the_system_is_refused(path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text(**with_cache(hostPath=path)), "settings.yaml")
    assert str(caught.value) == (
        f"settings.yaml: trainer.cache.hostPath: {path!r} belongs to the system: name a folder of "
        "its own, for example /var/lib/trainyard/cache"
    )


@pytest.mark.parametrize(
    "path",
    ["cache", "", ".", "/srv/../etc", "/srv/./x", "/srv//x", "//etc/x", "/srv/x/", "/srv/x\n"],
)
def test_cache_without_a_plain_path_is_refused(path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text(**with_cache(hostPath=path)), "settings.yaml")
    assert str(caught.value).startswith(
        f"settings.yaml: trainer.cache.hostPath: {path!r} is not the plain, absolute path"
    )


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a field that does not exist": (
        {"treiner": {}},
        "settings.yaml: treiner: Extra inputs are not permitted (given: '{}')",
    ),
    "no bucket": ({"store": {}}, "settings.yaml: store.bucket: Field required"),
    "no image": ({"trainer": {}}, "settings.yaml: trainer.image: Field required"),
    "a prefix with dots that climb": (
        {"store": {"bucket": "models", "prefix": "/x"}},
        "settings.yaml: store.prefix: String should match pattern",
    ),
    "a port out of range": (
        {"healthPort": 70000},
        "settings.yaml: healthPort: Input should be less than or equal to 65535 (given: '70000')",
    ),
    "an unknown way with a busy node": (
        {"onBusyNode": "Wait"},
        "settings.yaml: onBusyNode: Input should be 'Queue' or 'Reject' (given: 'Wait')",
    ),
    "no workers": (
        {"workers": 0},
        "settings.yaml: workers: Input should be greater than or equal to 1 (given: '0')",
    ),
    "a number that is none": (
        {"resyncSeconds": "often"},
        "settings.yaml: resyncSeconds: Input should be a valid number",
    ),
    "a URL with a path": (
        {"progress": {"url": "http://x/y"}},
        "settings.yaml: progress.url: String should match pattern",
    ),
    "no time for a pod to start": (
        {"podStartSeconds": 0},
        "settings.yaml: podStartSeconds: Input should be greater than or equal to 1 (given: '0')",
    ),
    "evidence before the deletion": (
        {"evidenceSeconds": -1},
        "settings.yaml: evidenceSeconds: Input should be greater than or equal to 0 (given: '-1')",
    ),
    "a leader that gives up after another took over": (
        {"leaderElection": {"leaseSeconds": 10}},
        "settings.yaml: leaderElection: renewSeconds (10) must be less than leaseSeconds (10): "
        "a leader gives up before another takes over",
    ),
    "a leader that has one try": (
        {"leaderElection": {"retrySeconds": 12.5}},
        "settings.yaml: leaderElection: retrySeconds (12.5) must be less than renewSeconds (10): "
        "a renewal that fails is tried again in time",
    ),
    "a Lease's name that is none": (
        {"leaderElection": {"name": "Leader!"}},
        "settings.yaml: leaderElection.name: String should match pattern",
    ),
    "a cache without a size": (
        {"trainer": {"image": "x", "cache": {"hostPath": "/srv/x"}}},
        "settings.yaml: trainer.cache.size: Field required",
    ),
    "a cache of nothing": (
        with_cache(size=0),
        "settings.yaml: trainer.cache.size: '0' is no size above zero: write bytes",
    ),
    "a cache of a fraction of a byte": (
        with_cache(size="900m"),
        "settings.yaml: trainer.cache.size: '900m' is no size above zero: write bytes",
    ),
    "a cache of less than nothing": (
        with_cache(size=-1),
        "settings.yaml: trainer.cache.size: String should match pattern",
    ),
    "a cache of a size that is none": (
        with_cache(size="plenty"),
        "settings.yaml: trainer.cache.size: String should match pattern",
    ),
    "a cache of yes": (
        with_cache(size=True),
        "settings.yaml: trainer.cache.size: Input should be a valid string",
    ),
    "a dataset of less than nothing": (
        {"datasets": {"maxSamples": -1}},
        "settings.yaml: datasets.maxSamples: Input should be greater than or equal to 0",
    ),
    "a dataset of a fraction of a byte": (
        {"datasets": {"maxSize": "900m"}},
        "settings.yaml: datasets.maxSize: '900m' is no size: write bytes, for example 2Ti, or 0",
    ),
    "a dataset of a size that is none": (
        {"datasets": {"maxSize": "plenty"}},
        "settings.yaml: datasets.maxSize: String should match pattern",
    ),
    "an unknown pull policy": (
        {"trainer": {"image": "x", "imagePullPolicy": "Sometimes"}},
        "settings.yaml: trainer.imagePullPolicy: String should match pattern",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), BAD.values(), ids=BAD)
def test_bad_value_is_named_with_its_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text(**changes), "settings.yaml")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("a: [1", "not valid YAML"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("workers: 1\nworkers: 2\n", "given twice"),
        ("", "document: Input should be"),
        ("- 1\n", "document: Input should be"),
        (b"a: \xff\xfe\n", "not valid YAML"),
    ],
)
def test_bad_document_is_one_sentence_with_the_files_name(content: Any, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(content, "/etc/settings.yaml")
    assert str(caught.value).startswith("/etc/settings.yaml: ")
    assert part in str(caught.value)


def test_file_is_named_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text())
    made = load_settings({"TRAINYARD_SETTINGS": str(path)})
    assert made.trainer.image == "trainer:1"


def test_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(SettingsError) as caught:
        load_settings({"TRAINYARD_SETTINGS": str(path)})
    assert str(caught.value) == (
        f"settings file {path} cannot be read (No such file or directory): mount it, or name "
        "another one in TRAINYARD_SETTINGS"
    )


def test_file_that_is_not_text_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(SettingsError, match="not valid YAML"):
        load_settings({"TRAINYARD_SETTINGS": str(path)})


class TestNamespaceOfTheLeadersLease:
    def test_it_is_the_one_that_was_set(self, tmp_path: Path) -> None:
        (tmp_path / "namespace").write_text("mounted")
        made = parse_settings(text(leaderElection={"namespace": "chosen"})).leader_election
        assert made.lease_namespace(tmp_path / "namespace") == "chosen"

    def test_else_the_pods_own(self, tmp_path: Path) -> None:
        (tmp_path / "namespace").write_text("mounted\n")
        made = parse_settings(text()).leader_election
        assert made.lease_namespace(tmp_path / "namespace") == "mounted"

    def test_else_the_usual_one(self, tmp_path: Path) -> None:
        made = parse_settings(text()).leader_election
        assert made.lease_namespace(tmp_path / "namespace") == "trainyard-system"


class TestWiring:
    def test_decisions_know_how_long_a_pod_may_take_to_start(self) -> None:
        assert decision_settings(parse_settings(text(podStartSeconds=7))).pod_start_seconds == 7

    def test_what_becomes_of_a_process_of_a_busy_node(self) -> None:
        assert decision_settings(parse_settings(text())).on_busy_node is OnBusyNode.QUEUE
        rejecting = parse_settings(text(onBusyNode="Reject"))
        assert decision_settings(rejecting).on_busy_node is OnBusyNode.REJECT

    def test_whether_namespaces_know_of_each_other(self) -> None:
        assert not decision_settings(parse_settings(text())).hides_other_namespaces
        hiding = parse_settings(text(hideOtherNamespaces=True))
        assert decision_settings(hiding).hides_other_namespaces

    def test_decisions_know_what_pods_tolerate(self) -> None:
        tolerations = [
            {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team"},
            {"operator": "Exists"},
        ]
        made = parse_settings(text(trainer={"image": "x", "tolerations": tolerations}))
        assert decision_settings(made).tolerated_taints == {
            ("gpu", "NoSchedule"),
            ("team", ""),
            ("*", ""),
        }
        assert pod_settings(made).tolerations == tuple(tolerations)

    def test_decisions_and_pods_use_the_same_image_and_gpu_name(self) -> None:
        trainer = {"image": "x:2", "gpuResourceName": "amd.com/gpu"}
        made = parse_settings(text(trainer=trainer))
        decisions, pods = decision_settings(made), pod_settings(made)
        assert (decisions.image, decisions.gpu_resource_name) == ("x:2", "amd.com/gpu")
        assert (pods.image, pods.gpu_resource_name) == ("x:2", "amd.com/gpu")


SMTP = {"host": "mail.example.org", "sender": "trainyard@example.org"}


class TestNotifications:
    def test_nobody_is_told_by_default_and_there_is_no_mail_server(self) -> None:
        made = parse_settings(text())
        rules = decision_settings(made).notifications
        assert rules == NotificationRules(tries=5)
        assert mail_server(made) is None
        assert made.external_url is None

    def test_they_reach_decisions_and_senders(self, tmp_path: Path) -> None:
        password = tmp_path / "password"
        made = parse_settings(
            text(
                notifications={
                    "default": {"email": ["all@example.org"]},
                    "namespaces": {"vision": {"webhooks": ["https://h.example.org/x"]}},
                    "allowedDomains": ["Example.ORG"],
                    "tries": 2,
                    "smtp": {**SMTP, "username": "me", "passwordFile": str(password)},
                    "webhook": {"allowedNetworks": ["10.1.0.0/16"], "timeoutSeconds": 3},
                }
            )
        )
        assert decision_settings(made).notifications == NotificationRules(
            default=Recipients(email=("all@example.org",)),
            namespaces={"vision": Recipients(webhooks=("https://h.example.org/x",))},
            mail=True,
            allowed_domains=frozenset({"example.org"}),
            tries=2,
        )
        assert mail_server(made) == MailServer(
            "mail.example.org",
            587,
            Security.STARTTLS,
            "trainyard@example.org",
            username="me",
            password_file=password,
        )
        assert webhook_rules(made) == WebhookRules(
            allowed_networks=(ip_network("10.1.0.0/16"),), timeout_seconds=3
        )

    @pytest.mark.parametrize(
        ("given", "part"),
        [
            ({"smtp": {**SMTP, "username": "me"}}, "username and passwordFile belong together"),
            (
                {
                    "smtp": {
                        **SMTP,
                        "username": "me",
                        "passwordFile": "/p",
                        "security": "None",
                    }
                },
                "a password is not sent in the clear",
            ),
            ({"smtp": {**SMTP, "sender": "Trainyard"}}, "'Trainyard' is no address"),
            ({"smtp": {**SMTP, "sender": "a@b.c\r\nBcc: d@e.f"}}, "smtp.sender"),
            ({"smtp": {**SMTP, "sender": "A, B <a@b.c>"}}, "is no address"),
            ({"smtp": {**SMTP, "sender": "a@b.c, d@e.f"}}, "is no address"),
            ({"smtp": {**SMTP, "sender": ".a@b.c"}}, "is no address"),
            ({"smtp": {**SMTP, "sender": "A <a b@c.d>"}}, "is no address"),
            ({"smtp": {**SMTP, "sender": "A\u200b <a@b.c>"}}, "is no address"),
            ({"smtp": {**SMTP, "sender": "a@b..c"}}, "is no address"),
            ({"smtp": {**SMTP, "security": "SSL"}}, "smtp.security"),
            ({"smtp": {**SMTP, "password": "x"}}, "smtp.password"),
            ({"webhook": {"allowedNetworks": ["10.1.2.3/16"]}}, "write 10.1.0.0/16"),
            ({"default": {"email": ["a@b.c\r\nBcc: d@e.f"]}}, "default.email.0"),
            ({"default": {"mail": ["a@b.c"]}}, "default.mail"),
            ({"namespaces": {"Vision": {}}}, "namespaces.Vision"),
            ({"tries": 0}, "tries"),
        ],
    )
    def test_bad_ones_stop_the_start_with_a_sentence(
        self, given: dict[str, Any], part: str
    ) -> None:
        with pytest.raises(SettingsError) as refused:
            parse_settings(text(notifications=given))
        assert part in str(refused.value)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("url", ["ftp://h", "https://h/?a=b", "https://h x", ""])
    def test_external_url_is_the_beginning_of_a_url(self, url: str) -> None:
        with pytest.raises(SettingsError, match="externalUrl"):
            parse_settings(text(externalUrl=url))
