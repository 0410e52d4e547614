"""The Kubernetes objects that the operator makes, as golden files.

`pytest --update-golden` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.builders import DATASET_UID, NODE, attempted, process, run_of, template
from trainyard.api.documents import dump_yaml, load_yaml
from trainyard.api.meta import ANNOTATION_SPEC_HASH
from trainyard.api.run import RunFile, SnapshotRunFile
from trainyard.cluster import objects, parse
from trainyard.cluster.objects import Bundle
from trainyard.cluster.pods import NodeFolder, PodSettings

GOLDEN = Path(__file__).with_name("golden")
PLAIN = PodSettings(image="registry/trainer:1")
GPU = PodSettings(
    image="registry/trainer:1",
    runtime_class_name="nvidia",
    tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
)
CACHE = PodSettings(
    image="registry/trainer:1", cache=NodeFolder("/var/lib/trainyard/cache", 200 << 30)
)


def run(gpus: int = 0, **spec: Any) -> RunFile:
    node = NODE.__class__(**{**NODE.__dict__, "allocatable": {"nvidia.com/gpu": 1}})
    return run_of(
        attempted(process=process(**spec), template=template(resources={"gpus": gpus}), node=node)
    )


S3_SELECTION = {"source": {"s3": {"bucket": "data"}}, "format": "folders"}


def volume_selection(claim: str, path: str = "") -> dict[str, Any]:
    return {"source": {"volume": {"claimName": claim, "path": path}}, "format": "folders"}


def snapshot_run(*selections: dict[str, Any]) -> SnapshotRunFile:
    return SnapshotRunFile.model_validate(
        {
            "name": "train",
            "namespace": "demo",
            "uid": DATASET_UID,
            "selections": selections or [S3_SELECTION],
            "output": "s3://trainyard/datasets/demo",
        }
    ).sealed()


BUNDLES: dict[str, Bundle] = {
    "training-cpu": objects.training_bundle(run(), "gpu-1", PLAIN),
    "training-gpu": objects.training_bundle(run(gpus=1), "gpu-1", GPU),
    "training-cache": objects.training_bundle(run(), "gpu-1", CACHE),
    "snapshot": objects.snapshot_bundle(snapshot_run(), PLAIN),
}
TRAININGS = [name for name in BUNDLES if name.startswith("training")]


@pytest.mark.parametrize("name", BUNDLES)
def test_objects_are_what_the_golden_file_says(name: str, pytestconfig: pytest.Config) -> None:
    bundle = BUNDLES[name]
    # The digest of everything is left out: it changes with each field of the API.
    job = {**bundle.job, "metadata": {**bundle.job["metadata"]}}
    job["metadata"]["annotations"] = {
        key: value
        for key, value in job["metadata"]["annotations"].items()
        if key != ANNOTATION_SPEC_HASH
    }
    config_map = {**bundle.config_map, "data": sorted(bundle.config_map["data"])}
    path = GOLDEN / f"{name}.yaml"
    text = "---\n".join(map(dump_yaml, (job, config_map)))
    if pytestconfig.getoption("--update-golden"):
        path.write_text(text)
    assert list(yaml.safe_load_all(text)) == list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("name", BUNDLES)
class TestEveryJob:
    def spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = BUNDLES[name].job["spec"]
        return spec

    def test_makes_one_pod_at_a_time(self, name: str) -> None:
        spec = self.spec(name)
        assert (spec["parallelism"], spec["completions"]) == (1, 1)
        assert spec["podReplacementPolicy"] == "Failed"
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
        assert not {"ttlSecondsAfterFinished", "activeDeadlineSeconds"} & set(spec)

    def test_fits_pod_security_restricted(self, name: str) -> None:
        pod = self.spec(name)["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        # But for the cache, which is off unless the settings have one.
        assert [volume["name"] for volume in pod["volumes"] if "hostPath" in volume] == (
            ["cache"] if name == "training-cache" else []
        )

    def test_has_no_token_for_the_api_server_and_one_for_reports(self, name: str) -> None:
        pod = self.spec(name)["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        sources = [
            source
            for volume in pod["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        ]
        assert [source["serviceAccountToken"]["audience"] for source in sources] == [
            "trainyard-progress"
        ]

    def test_takes_credentials_from_the_secret_alone(self, name: str) -> None:
        (container,) = self.spec(name)["template"]["spec"]["containers"]
        for item in container["env"]:
            if item["name"].startswith("AWS_"):
                assert item["valueFrom"]["secretKeyRef"]["name"] == "trainyard-store"

    def test_is_owned_so_that_deleting_the_owner_ends_it(self, name: str) -> None:
        (owner,) = BUNDLES[name].job["metadata"]["ownerReferences"]
        assert owner["controller"] is True
        assert owner["apiVersion"] == "trainyard.dev/v1alpha1"

    def test_carries_what_it_is_told_in_an_immutable_config_map(self, name: str) -> None:
        config_map = BUNDLES[name].config_map
        assert config_map["immutable"] is True
        assert config_map["metadata"]["name"] == BUNDLES[name].job["metadata"]["name"]
        ((file, text),) = config_map["data"].items()
        model = SnapshotRunFile if name == "snapshot" else RunFile
        model.model_validate(load_yaml(text)).verify(file)


@pytest.mark.parametrize("name", TRAININGS)
class TestTraining:
    def test_is_suspended_and_pinned_to_its_node_through_the_scheduler(self, name: str) -> None:
        spec = BUNDLES[name].job["spec"]
        pod = spec["template"]["spec"]
        assert spec["suspend"] is True
        assert "nodeName" not in pod
        terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert terms["nodeSelectorTerms"] == [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]}
        ]

    def test_shares_its_host_with_no_training_of_any_namespace(self, name: str) -> None:
        affinity = BUNDLES[name].job["spec"]["template"]["spec"]["affinity"]
        (term,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        labels = BUNDLES[name].job["spec"]["template"]["metadata"]["labels"]
        assert term["namespaceSelector"] == {}
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()

    def test_outlives_a_lost_link_without_a_limit(self, name: str) -> None:
        tolerations = BUNDLES[name].job["spec"]["template"]["spec"]["tolerations"]
        assert [item for item in tolerations if item.get("effect") == "NoExecute"] == [
            {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute"}
            for state in ("not-ready", "unreachable")
        ]


def test_snapshot_starts_at_once_and_asks_for_no_gpu() -> None:
    spec = BUNDLES["snapshot"].job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["suspend"] is False
    assert "nvidia.com/gpu" not in container["resources"]["requests"]


def test_snapshot_job_says_the_image_that_was_asked_for() -> None:
    """Whatever admission makes of it."""
    job = BUNDLES["snapshot"].job
    stored = {**job, "metadata": {**job["metadata"], "uid": "u", "resourceVersion": "1"}}
    assert parse.job(stored).image == PLAIN.image


def test_snapshot_of_volumes_mounts_each_claim_once_and_read_only() -> None:
    selections = (volume_selection("a", "x"), S3_SELECTION, volume_selection("b"))
    run_ = snapshot_run(*selections, volume_selection("a", "y"))
    pod = objects.snapshot_bundle(run_, PLAIN).job["spec"]["template"]["spec"]
    claims = {
        item["name"]: item["persistentVolumeClaim"]
        for item in pod["volumes"]
        if "persistentVolumeClaim" in item
    }
    assert claims == {
        "source-0": {"claimName": "a", "readOnly": True},
        "source-1": {"claimName": "b", "readOnly": True},
    }
    mounts = {
        item["mountPath"]: (item["name"], item["readOnly"])
        for item in pod["containers"][0]["volumeMounts"]
        if item["name"].startswith("source-")
    }
    assert mounts == {
        "/sources/0": ("source-0", True),
        "/sources/2": ("source-1", True),
        "/sources/3": ("source-0", True),
    }


def test_only_a_snapshot_is_tried_again_by_its_job_and_not_over_bad_data() -> None:
    for name in TRAININGS:
        spec = BUNDLES[name].job["spec"]
        assert (spec["backoffLimit"], "podFailurePolicy" in spec) == (0, False)
    spec = BUNDLES["snapshot"].job["spec"]
    assert spec["backoffLimit"] > 0
    fails, ignored = spec["podFailurePolicy"]["rules"]
    assert (fails["action"], fails["onExitCodes"]["values"]) == ("FailJob", [65, 77, 78])
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def spec_hash(bundle: Bundle) -> str:
    return str(bundle.job["metadata"]["annotations"][ANNOTATION_SPEC_HASH])


def test_spec_hash_is_the_same_for_the_same_and_changes_with_anything() -> None:
    base = spec_hash(BUNDLES["training-cpu"])
    assert spec_hash(objects.training_bundle(run(), "gpu-1", PLAIN)) == base
    others = [
        objects.training_bundle(run(), "gpu-2", PLAIN),
        objects.training_bundle(run(), "gpu-1", GPU),
        objects.training_bundle(run(), "gpu-1", CACHE),
        objects.training_bundle(run(overrides={"hyperparameters": {"epochs": 1}}), "gpu-1", PLAIN),
    ]
    assert len({base, *map(spec_hash, others)}) == 5


def test_config_map_of_the_first_attempt_stays_with_the_process_and_a_later_one_with_its_job() -> (
    None
):
    bundle = BUNDLES["training-cpu"]
    job = {**bundle.job, "metadata": {**bundle.job["metadata"], "uid": "job-uid"}}
    (first,) = objects.owned(bundle.config_map, job)["metadata"]["ownerReferences"]
    assert (first["kind"], first["controller"]) == ("TrainingProcess", True)
    job["metadata"]["labels"] = {**job["metadata"]["labels"], "trainyard.dev/attempt": "2"}
    (later,) = objects.owned(bundle.config_map, job)["metadata"]["ownerReferences"]
    assert (later["kind"], later["uid"], later["controller"]) == ("Job", "job-uid", True)
    assert "ownerReferences" not in bundle.config_map["metadata"]


def test_only_what_trains_is_kept_until_its_end_is_on_record() -> None:
    kept = {
        name: bundle.job["spec"]["template"]["metadata"].get("finalizers")
        for name, bundle in BUNDLES.items()
    }
    finalizers = ["trainyard.dev/evidence"]
    assert kept == {**dict.fromkeys(TRAININGS, finalizers), "snapshot": None}


def test_only_a_training_sees_the_cache_whose_folder_must_be_there_before_it() -> None:
    pod = BUNDLES["training-cache"].job["spec"]["template"]["spec"]
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "cache")
    assert volume["hostPath"] == {"path": "/var/lib/trainyard/cache", "type": "Directory"}
    (container,) = pod["containers"]
    told = {item["name"]: item.get("value") for item in container["env"]}
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "cache")
    assert told["TRAINYARD_NODE_CACHE"] == mount["mountPath"]
    assert told["TRAINYARD_NODE_CACHE_BYTES"] == str(200 << 30)
    snapshot = objects.snapshot_bundle(snapshot_run(), CACHE)
    assert spec_hash(snapshot) == spec_hash(BUNDLES["snapshot"])


@pytest.mark.parametrize("name", BUNDLES)
def test_container_without_last_words_leaves_the_end_of_its_log(name: str) -> None:
    (container,) = BUNDLES[name].job["spec"]["template"]["spec"]["containers"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
