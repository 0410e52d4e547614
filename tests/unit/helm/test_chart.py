"""What the chart makes of its values."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, NAMESPACE, REPOSITORY, RenderingRefused, kinds, one, render

from trainyard.decide.facts import OnBusyNode
from trainyard.notify.smtp import Security
from trainyard.operator.logs import LogFormat, LogSettings
from trainyard.operator.notification_settings import (
    NotificationSettings,
    RecipientSettings,
    SmtpSettings,
    WebhookSettings,
)
from trainyard.operator.settings import (
    CacheSettings,
    DatasetSettings,
    LeaderElectionSettings,
    ProgressSettings,
    Settings,
    StoreSettings,
    TrainerSettings,
    parse_settings,
)


def settings(values: dict[str, Any] | None = None) -> Settings:
    return parse_settings(one(render(values), "ConfigMap")["data"]["settings.yaml"])


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return only  # type: ignore[no-any-return]


def test_default_values_are_the_defaults_of_the_settings() -> None:
    assert settings() == Settings(
        store=StoreSettings(bucket="models"),
        trainer=TrainerSettings(image="registry.example/trainer:1"),
        progress=ProgressSettings(url="http://trainyard.trainyard-system.svc:8080"),
        leader_election=LeaderElectionSettings(namespace=NAMESPACE),
    )


def test_every_setting_can_be_set() -> None:
    wanted = Settings(
        store=StoreSettings(
            bucket="b-1", prefix="a/b", endpoint_url="http://10.0.0.1:7070", region="eu"
        ),
        trainer=TrainerSettings(
            image="i",
            image_pull_policy="Never",
            gpu_resource_name="amd.com/gpu",
            runtime_class_name="nvidia",
            tolerations=({"key": "gpu", "operator": "Exists"},),
            service_account_name="trainer",
            grace_period_seconds=30,
            snapshot_memory="4Gi",
            cache=CacheSettings(host_path="/srv/trainyard", size="200Gi"),
            allowed_weights=("5" * 64,),
            allowed_images=(f"registry.example/trainer@sha256:{'7' * 64}",),
        ),
        datasets=DatasetSettings(max_samples=50_000_000, max_size="1.5Ti"),
        progress=ProgressSettings(url="http://10.96.0.9:8080", max_body_bytes=2048),
        log=LogSettings(format=LogFormat.JSON, level="DEBUG"),
        namespaces=("a", "b"),
        resync_seconds=60,
        stalled_after_seconds=30,
        workers=2,
        on_busy_node=OnBusyNode.REJECT,
        hide_other_namespaces=True,
        gpu_wait_seconds=5,
        pod_start_seconds=30,
        evidence_seconds=7,
        leader_election=LeaderElectionSettings(
            enabled=False,
            namespace=NAMESPACE,
            lease_seconds=30,
            renew_seconds=20,
            retry_seconds=0.5,
        ),
        notifications=NotificationSettings(
            default=RecipientSettings(email=("all@example.org",)),
            namespaces={"vision": RecipientSettings(webhooks=("https://hooks.example.org/v?a=b",))},
            allowed_domains=("example.org",),
            tries=3,
            smtp=SmtpSettings(
                host="mail.example.org",
                port=465,
                security=Security.TLS,
                sender="Trainyard <trainyard@example.org>",
                username="trainyard",
                password_file=Path("/etc/trainyard-smtp/password"),
                ca_file=Path("/etc/trainyard-ca/ca.crt"),
                timeout_seconds=20,
            ),
            webhook=WebhookSettings(
                key_file=Path("/etc/trainyard-webhook/key"),
                ca_file=Path("/etc/trainyard-ca/ca.crt"),
                allowed_networks=("10.1.0.0/16",),
                timeout_seconds=5,
            ),
        ),
        external_url="https://files.example.org/browse",
    )
    # The ports are the chart's business: its Service and probes name them.
    changed = wanted.model_dump(mode="json", by_alias=True, exclude={"health_port": True})
    del changed["progress"]["port"]
    # Where the leader's Lease is follows from the release: the operator's rights name it.
    del changed["leaderElection"]["namespace"], changed["leaderElection"]["name"]
    # Secrets and certificates are mounted where the settings then say.
    told = changed["notifications"]
    del told["smtp"]["passwordFile"], told["smtp"]["caFile"]
    del told["webhook"]["keyFile"], told["webhook"]["caFile"]
    told["smtp"]["existingSecret"] = "smtp"
    told["webhook"]["existingSecret"] = "hooks"
    told["caConfigMap"] = "company-ca"
    assert settings(changed) == wanted
    at_rest = settings()
    for name in Settings.model_fields:
        if name != "health_port":
            assert getattr(wanted, name) != getattr(at_rest, name), f"{name} was not tried"


def test_secrets_of_notifications_are_mounted_and_stand_in_no_other_object() -> None:
    values = {
        "notifications": {
            "caConfigMap": "company-ca",
            "smtp": {
                "host": "mail.example.org",
                "sender": "trainyard@example.org",
                "username": "trainyard",
                "existingSecret": "smtp",
            },
            "webhook": {"existingSecret": "hooks"},
        }
    }
    objects = render(values)
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in container(objects)["volumeMounts"]}
    assert sources["smtp"]["secret"]["secretName"] == "smtp"
    assert sources["webhook"]["secret"]["secretName"] == "hooks"
    assert sources["ca"]["configMap"]["name"] == "company-ca"
    for name in ("smtp", "webhook", "ca"):
        assert mounts[name]["readOnly"] is True
        (item,) = (sources[name].get("secret") or sources[name]["configMap"])["items"]
        path = f"{mounts[name]['mountPath']}/{item['path']}"
        assert path in one(objects, "ConfigMap")["data"]["settings.yaml"]
    plain = one(render(), "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in plain] == ["settings", "tmp"]


def test_mail_without_a_sender_is_refused_by_name() -> None:
    with pytest.raises(RenderingRefused, match=r"notifications\.smtp\.sender is missing"):
        render({"notifications": {"smtp": {"host": "mail.example.org"}}})


@pytest.mark.parametrize("size", [200_000_000_000, "200G"])
def test_size_of_the_cache_may_be_bytes(size: Any) -> None:
    made = settings({"trainer": {"cache": {"hostPath": "/srv/trainyard", "size": size}}})
    assert made.trainer.cache is not None
    assert made.trainer.cache.size_bytes == 200_000_000_000


@pytest.mark.parametrize(("size", "expected"), [(3_000_000_000_000, 3 * 10**12), (0, 0), ("0", 0)])
def test_limits_of_datasets_may_be_large_numbers_or_none(size: Any, expected: int) -> None:
    made = settings({"datasets": {"maxSamples": 0, "maxSize": size}}).datasets
    assert (made.max_samples, made.max_bytes) == (0, expected)


def test_trainers_are_given_the_address_of_the_service_when_it_is_fixed() -> None:
    objects = render({"service": {"clusterIP": "10.96.7.7"}})
    assert one(objects, "Service")["spec"]["clusterIP"] == "10.96.7.7"
    assert "http://10.96.7.7:8080" in one(objects, "ConfigMap")["data"]["settings.yaml"]


def test_changed_settings_are_another_pod_and_a_changed_annotation_is_not_needed() -> None:
    def checksum(values: dict[str, Any] | None = None) -> str:
        template = one(render(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/settings"])

    assert checksum() == checksum({"resources": {"limits": {"memory": "1Gi"}}})
    assert checksum() != checksum({"workers": 5})


def test_two_operators_run_at_once_only_on_purpose_and_one_of_them_decides() -> None:
    spec = one(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    spec = one(render({"replicas": 2}), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (2, {"type": "Recreate"})
    with pytest.raises(RenderingRefused, match=r"leaderElection\.enabled is false: enable it"):
        render({"replicas": 2, "leaderElection": {"enabled": False}})


def test_rights_name_the_lease_that_the_settings_name() -> None:
    election = settings().leader_election
    role = one(render(), "Role", "trainyard-leader")
    assert role["metadata"]["namespace"] == election.namespace
    assert role["rules"][1]["resourceNames"] == [election.name]


def test_metrics_are_served_where_prometheus_looks() -> None:
    objects = render()
    annotations = one(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings().health_port)
    assert annotations["prometheus.io/path"] == "/metrics"
    ports = {port["name"]: port for port in one(objects, "Service")["spec"]["ports"]}
    assert ports["metrics"]["targetPort"] == "health"
    assert kinds(objects, "ServiceMonitor") == []
    values = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "p"}}}}
    monitor = one(render(values), "ServiceMonitor")
    labels = one(render(values), "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["endpoints"][0]["port"] == "metrics"
    assert monitor["metadata"]["labels"]["release"] == "p"
    without = one(render({"metrics": {"annotations": False}}), "Deployment")
    assert "prometheus.io" not in str(without)


def test_before_an_uninstallation_pods_are_let_go_with_the_operators_rights() -> None:
    objects = render()
    job = one(objects, "Job", "trainyard-uninstall")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    spec = job["spec"]["template"]["spec"]
    operator = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == operator["serviceAccountName"]
    (made,) = spec["containers"]
    assert made["image"] == operator["containers"][0]["image"]
    assert (made["command"][-1], made.get("args")) == ("trainyard.operator.uninstall", None)
    assert find_spec(made["command"][-1]) is not None
    selector = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    (forced,) = one(render({"uninstall": {"force": True}}), "Job", "trainyard-uninstall")["spec"][
        "template"
    ]["spec"]["containers"]
    assert forced["args"] == ["--force"]
    assert kinds(render({"uninstall": {"hook": False}}), "Job") == []


def test_policies_trust_the_operator_and_whom_the_values_name() -> None:
    def trusted(values: dict[str, Any]) -> set[str]:
        policies = kinds(render(values), "ValidatingAdmissionPolicy")
        assert len(policies) == 3
        return {
            variable["expression"]
            for policy in policies
            for variable in policy["spec"]["variables"]
            if variable["name"] == "trusted"
        }

    (default,) = trusted({})
    assert f'["system:serviceaccount:{NAMESPACE}:trainyard"]' in default
    values = {"operatorUsername": "me", "exemptUsers": ["you"], "exemptGroups": ["system:masters"]}
    (named,) = trusted({"admissionPolicy": values})
    assert '["me","you"]' in named
    assert '["system:masters"]' in named
    (account,) = trusted({"serviceAccount": {"name": "other"}})
    assert f'["system:serviceaccount:{NAMESPACE}:other"]' in account


def test_each_policy_denies_through_a_binding_of_its_name_and_all_can_be_left_out() -> None:
    objects = render()
    names = {p["metadata"]["name"] for p in kinds(objects, "ValidatingAdmissionPolicy")}
    assert names == {"trainyard-pods", "trainyard-jobs", "trainyard-locks"}
    for policy in kinds(objects, "ValidatingAdmissionPolicy"):
        assert policy["spec"]["failurePolicy"] == "Fail"
    bindings = kinds(objects, "ValidatingAdmissionPolicyBinding")
    assert {b["metadata"]["name"]: b["spec"] for b in bindings} == {
        name: {"policyName": name, "validationActions": ["Deny"]} for name in names
    }
    without = render({"admissionPolicy": {"enabled": False}})
    assert not [o for o in without if o["kind"].startswith("ValidatingAdmission")]


def test_pod_fits_the_restricted_pod_security_standard() -> None:
    objects = render()
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(objects)["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    # Restricted allows more types of volume, none of them a hostPath; these are all we have.
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"configMap"}, {"emptyDir"}]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in container(objects)["volumeMounts"]}
    assert mounts == {"/etc/trainyard": True, "/tmp": False}


def test_probes_ask_the_health_port() -> None:
    made = container(render())
    assert {p["name"]: p["containerPort"] for p in made["ports"]} == {
        "progress": 8080,
        "health": settings().health_port,
    }
    assert made["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert made["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert made["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


def test_credentials_come_from_the_named_secret_and_stand_nowhere_in_the_chart() -> None:
    made = container(render({"store": {"existingSecret": "mine"}}))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (variable,) = (item for item in made["env"] if item["name"] == name)
        assert variable["valueFrom"] == {"secretKeyRef": {"name": "mine", "key": name}}
    assert kinds(render(), "Secret") == []


def test_chart_carries_exactly_the_generated_crds() -> None:
    generated = {path.name: path.read_text() for path in (REPOSITORY / "crds").glob("*.yaml")}
    carried = {path.name: path.read_text() for path in (CHART / "files/crds").glob("*.yaml")}
    assert generated, "crds/ is empty"
    assert carried == generated, "copy crds/*.yaml to helm/trainyard/files/crds/"


def test_crds_are_rendered_whole_and_outlive_the_release() -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in kinds(render(), "CustomResourceDefinition")}
    sources = [yaml.safe_load(p.read_text()) for p in (REPOSITORY / "crds").glob("*.yaml")]
    assert rendered.keys() == {source["metadata"]["name"] for source in sources}
    for source in sources:
        made = rendered[source["metadata"]["name"]]
        assert made["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert made == source


def test_crds_can_be_left_out() -> None:
    assert kinds(render({"crds": {"install": False}}), "CustomResourceDefinition") == []


def test_namespace_of_the_locks_outlives_the_release_and_can_be_left_out() -> None:
    namespace = one(render(), "Namespace", "trainyard-locks")
    assert namespace["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert kinds(render({"locks": {"createNamespace": False}}), "Namespace") == []


def test_network_policy_lets_trainer_pods_report() -> None:
    assert kinds(render(), "NetworkPolicy") == []
    policy = one(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    reports, health = policy["spec"]["ingress"]
    assert reports["ports"] == [{"port": "progress"}]
    assert reports["from"][0]["podSelector"]["matchExpressions"] == [
        {"key": "trainyard.dev/role", "operator": "In", "values": ["training", "snapshot"]}
    ]
    assert health == {"ports": [{"port": "health"}]}


def test_everything_with_a_namespace_is_where_it_belongs() -> None:
    locks = f"-locks-{NAMESPACE}", f"-node-admin-{NAMESPACE}"
    for made in render():
        if (namespace := made["metadata"].get("namespace")) is not None:
            name = made["metadata"]["name"]
            expected = "trainyard-locks" if name.endswith(locks) else NAMESPACE
            assert namespace == expected, (made["kind"], name)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({}, "store.bucket is missing", id="no bucket"),
        pytest.param({"store": {"bucket": "models"}}, "trainer.image is missing", id="no image"),
        pytest.param({"stor": {}}, "additional properties 'stor'", id="an unknown value"),
        pytest.param({"store": {"buckt": "x"}}, "'buckt' not allowed", id="an unknown inner value"),
        pytest.param({"workers": 0}, "/workers", id="no worker"),
        pytest.param({"workers": "four"}, "/workers", id="a word for a number"),
        pytest.param({"trainer": {"imagePullPolicy": "Maybe"}}, "imagePullPolicy", id="a policy"),
        pytest.param({"namespaces": ["Team A"]}, "/namespaces/0", id="no namespace's name"),
        pytest.param({"progress": {"url": "https://x/y"}}, "/progress/url", id="a URL with a path"),
        pytest.param({"trainer": {"cache": {"hostPath": "/x"}}}, "size", id="a cache of no size"),
        pytest.param(
            {"trainer": {"cache": {"hostPath": "cache", "size": "1Gi"}}},
            "/trainer/cache/hostPath",
            id="a cache without an absolute path",
        ),
        pytest.param(
            {"trainer": {"cache": {"hostPath": "/srv/x", "size": 0}}},
            "/trainer/cache/size",
            id="a cache of nothing",
        ),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RenderingRefused) as refusal:
        render(values, complete=False)
    assert said in str(refusal.value)
