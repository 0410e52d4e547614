"""`trainyard models list` and `download`, on a real API server and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from support.waiting import eventually
from team import FILES, Team

from trainyard.api.dataset import Selection
from trainyard.api.documents import dump_yaml
from trainyard.api.run import SnapshotRunFile, StoreLocation
from trainyard.cluster.resources import MODEL


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def damage(team: Team, uri: str) -> None:
    """Flip one bit of an object."""
    data = bytearray(team.store.read_bytes(uri))
    data[len(data) // 2] ^= 1
    team.store.write_bytes(uri, bytes(data))


def test_models_are_listed_with_what_people_ask_about(team: Team) -> None:
    team.model("cats")
    team.model("dogs")
    titles, cats, dogs = team.says("models", "list").splitlines()
    assert titles.split() == (
        ["NAME", "CAPABILITY", "TYPE", "METRIC", "EVALUATIONS", "SIZE", "PROCESS", "AGE"]
    )
    assert cats.split()[:-1] == (
        ["cats", "animals", "ImageClassifierElement", "top-1", "0.968", "2.4", "MiB", "cats"]
    )
    assert dogs.split()[0] == "dogs"
    everywhere = team.says("models", "list", "-A").splitlines()
    assert everywhere[0].startswith("NAMESPACE")
    assert sum(line.startswith(f"{team.namespace} ") for line in everywhere) == 2


def test_a_list_can_be_read_by_programs(team: Team) -> None:
    team.model("cats")
    raw = team.api.get(MODEL, "cats", team.namespace)
    listed = json.loads(team.says("models", "list", "-o", "json"))
    assert listed["kind"] == "List"
    assert listed["items"] == [raw]
    assert yaml.safe_load(team.says("models", "list", "-o", "yaml")) == listed


def test_an_empty_list_says_so_and_is_no_error(team: Team) -> None:
    done = team.run("models", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"There are no TrainedModels in namespace {team.namespace}" in done.stderr


def evaluated(team: Team, *plans: str) -> None:
    """Write what the operator would write of evaluations."""
    metrics = {"metrics": [{"name": "top-1", "value": "0.91"}], "samples": 40}
    evaluations = [
        {
            "plan": plan,
            "primaryMetric": "top-1",
            "checkpointSha256": "0" * 64,
            "test": metrics,
            "createdAt": "2026-11-25T10:30:00Z",
        }
        for plan in plans
    ]
    status = {"status": {"evaluations": evaluations}}
    team.api.merge_patch(MODEL, "cats", status, team.namespace, subresource="status")


def test_a_model_is_shown_with_classes_metrics_by_plan_lineage_and_files(team: Team) -> None:
    location = team.model("cats")
    evaluated(team, "night", "rain")
    said = team.says("models", "show", "cats", who=team.viewer)
    lines = [line.split() for line in said.splitlines()]
    assert ["model", f"{team.namespace}/cats"] in lines
    assert ["capability", "animals,", "ImageClassifierElement"] in lines
    assert ["made", "by", "process", "cats"] in lines
    assert ["0", "class", "cat"] in lines
    assert ["METRIC", "night", "TEST", "rain", "TEST"] in lines
    assert ["top-1", "0.91", "0.91"] in lines
    weights = hashlib.sha256(FILES["model.pth"]).hexdigest()
    assert ["weights", "2.4", "MiB", weights, f"{location}/model.pth"] in lines
    _, cats = team.says("models", "list").splitlines()
    assert cats.split()[5] == "2", "evaluations"
    raw = team.api.get(MODEL, "cats", team.namespace) or {}
    shown = json.loads(team.says("models", "show", "cats", "-o", "json"))
    assert shown["spec"]["artefacts"] == raw["spec"]["artefacts"]
    assert shown["status"]["evaluations"] == raw["status"]["evaluations"]
    sentence = team.refuses("models", "show", "dogs")
    assert f"there is no TrainedModel dogs in namespace {team.namespace}" in sentence


def test_programs_are_told_what_was_downloaded(team: Team) -> None:
    location = team.model("cats")
    said = json.loads(team.says("models", "download", "cats", "-o", "json", **team.reach))
    assert (said["model"], said["folder"], len(said["files"])) == ("cats", "cats", len(FILES))
    first = next(file for file in said["files"] if file["name"] == "model.pth")
    assert first == {
        "name": "model.pth",
        "uri": f"{location}/model.pth",
        "sha256": hashlib.sha256(FILES["model.pth"]).hexdigest(),
        "sizeBytes": len(FILES["model.pth"]),
    }


def completed(team: Team, words: str, **environ: str) -> list[str]:
    """What bash is told for a command line that ends in a word to complete."""
    asked = {"_TRAINYARD_COMPLETE": "bash_complete", "COMP_WORDS": words}
    asked["COMP_CWORD"] = str(words.count(" "))
    running = team.process_of(**asked, **environ)
    said, errors = running.communicate(timeout=30)
    assert errors == ""
    return said.split()


def test_a_shell_completes_the_names_of_the_cluster(team: Team) -> None:
    team.model("cats")
    team.model("crows")
    team.process("dogs")
    assert completed(team, "trainyard models show c") == ["plain,cats", "plain,crows"]
    assert completed(team, "trainyard watch ") == ["plain,dogs"]
    assert "plain,cats" in completed(team, "trainyard predict ca")
    elsewhere = completed(team, "trainyard watch ", TRAINYARD_NAMESPACE="nowhere")
    assert elsewhere == []


def test_a_shell_does_not_wait_for_a_cluster_that_does_not_answer(team: Team) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = team.admin.read_text()
        server = yaml.safe_load(text)["clusters"][0]["cluster"]["server"]
        path = team.folder / "silent.kubeconfig"
        path.write_text(text.replace(server, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        began = time.monotonic()
        assert completed(team, "trainyard watch ", TRAINYARD_KUBECONFIG=str(path)) == []
    assert time.monotonic() - began < 15, "the command line itself is read in that time"


def test_a_model_is_downloaded_and_every_file_verified(team: Team) -> None:
    team.model("cats")
    said = team.says("models", "download", "cats", **team.reach)
    assert content(team.folder / "cats") == FILES
    assert "model.pth: 2.4 MiB, verified" in said
    assert f"{team.namespace}/cats: 5 files, 2.4 MiB, verified, in cats" in said


def test_a_download_can_be_repeated_and_fetches_nothing_twice(team: Team) -> None:
    location = team.model("cats")
    team.says("models", "download", "cats", "--out", "here", **team.reach)
    # Fetched again it would be found to be damaged.
    damage(team, f"{location}/model.pth")
    Path("here/config.yaml").unlink()
    said = team.says("models", "download", "cats", "--out", "here", **team.reach)
    assert "model.pth: already there, verified" in said
    assert "fetching 1 file" in said
    assert content(team.folder / "here") == FILES


def test_a_damaged_object_is_found_named_with_both_digests_and_not_written(team: Team) -> None:
    location = team.model("cats")
    damage(team, f"{location}/model.pth")
    sentence = team.refuses("models", "download", "cats", **team.reach)
    spec = (team.api.get(MODEL, "cats", team.namespace) or {})["spec"]
    assert f"{location}/model.pth is not the file that the model names" in sentence
    assert f"expected SHA-256 {spec['artefacts']['weights']['sha256']}" in sentence
    assert "found " in sentence
    assert len(sentence.splitlines()) == 1
    assert content(team.folder / "cats") == {
        name: data for name, data in FILES.items() if name != "model.pth"
    }


@contextmanager
def stalling(endpoint: str, after: int) -> Iterator[str]:
    """Endpoint of a way to the store that falls silent after so many bytes."""
    place = urlsplit(endpoint)
    listener = socket.create_server(("127.0.0.1", 0))
    closing: list[socket.socket] = [listener]

    def serve() -> None:
        while True:
            try:
                inside, _ = listener.accept()
            except OSError:
                return
            outside = socket.create_connection((place.hostname, place.port))
            closing.extend((inside, outside))
            threading.Thread(target=pump, args=(inside, outside, 1 << 40), daemon=True).start()
            threading.Thread(target=pump, args=(outside, inside, after), daemon=True).start()

    def pump(source: socket.socket, sink: socket.socket, left: int) -> None:
        try:
            while left > 0 and (data := source.recv(min(left, 65536))):
                sink.sendall(data)
                left -= len(data)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for each in closing:
            each.close()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_an_interrupted_download_leaves_no_wrong_file_and_is_completed_by_the_next(
    team: Team, end: signal.Signals
) -> None:
    team.model("cats")
    out = team.folder / "cats"
    with stalling(team.account.endpoint_url, 1_800_000) as slow:
        environ = team.keys | {"TRAINYARD_S3_ENDPOINT": slow}
        running = team.process_of("models", "download", "cats", **environ)
        part = out / "model.pth.part"
        eventually("a part of the weights", lambda: part.is_file() and part.stat().st_size > 0)
        running.send_signal(end)
        running.communicate(timeout=30)
    expected = {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[end]
    assert running.returncode == expected
    left = content(out)
    print({name: len(data) for name, data in left.items()})
    assert not left.keys() - {"model.pth.part"}
    assert (end is signal.SIGKILL) == ("model.pth.part" in left)
    team.says("models", "download", "cats", **team.reach)
    assert content(out) == FILES


def test_without_any_setting_keys_and_endpoint_are_those_of_the_runs_of_the_namespace(
    team: Team,
) -> None:
    team.model("cats")
    team.secret()
    selection = {"format": "folders", "source": {"s3": {"bucket": "trainyard", "prefix": "a"}}}
    document = SnapshotRunFile(
        name="train",
        namespace=team.namespace,
        uid="1",
        selections=(Selection.model_validate(selection),),
        output="s3://trainyard/datasets",
        store=StoreLocation(endpoint_url=team.account.endpoint_url),
    ).sealed()
    team.told_runs(dump_yaml(document.to_wire()))
    team.says("models", "download", "cats", who=team.engineer)
    assert content(team.folder / "cats") == FILES


def test_who_has_no_keys_is_told_where_they_can_stand(team: Team) -> None:
    team.model("cats")
    team.secret()
    sentence = team.refuses("models", "download", "cats", who=team.viewer)
    assert "there are no keys for the object store: set AWS_ACCESS_KEY_ID" in sentence
    assert content(team.folder / "cats") == {}


def test_wrong_keys_are_refused_with_where_they_came_from_and_without_them(team: Team) -> None:
    team.model("cats")
    wrong = {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    sentence = team.refuses("models", "download", "cats", **team.reach | wrong)
    assert "refuses access to s3://" in sentence
    assert "the keys from your env settings" in sentence
    assert "wrong-secret" not in sentence
    assert content(team.folder / "cats") == {}


def test_files_that_are_not_where_one_looks_are_told_with_where_that_was(team: Team) -> None:
    location = team.model("cats")
    team.store.delete(f"{location}/train.log")
    sentence = team.refuses("models", "download", "cats", **team.reach)
    assert f"{location}/train.log is not in the store" in sentence
    assert f"the endpoint came from your settings ({team.account.endpoint_url})" in sentence


def test_a_model_that_is_not_in_the_store_at_all_is_told_in_one_sentence(team: Team) -> None:
    location = team.model("cats")
    for name in FILES:
        team.store.delete(f"{location}/{name}")
    sentence = team.refuses("models", "download", "cats", **team.reach)
    assert f"none of the 5 files of {team.namespace}/cats is at {location}" in sentence
    assert len(sentence.splitlines()) == 1


def test_a_profile_has_everything_that_a_download_needs(team: Team) -> None:
    team.model("cats")
    aws = team.folder / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        f"[lab]\naws_access_key_id = {team.account.access_key}\n"
        f"aws_secret_access_key = {team.account.secret_key}\n"
    )
    config = team.folder / ".config" / "trainyard"
    config.mkdir(parents=True)
    profile = {
        "kubeconfig": str(team.admin),
        "namespace": team.namespace,
        "s3": {"endpointUrl": team.account.endpoint_url, "awsProfile": "lab"},
    }
    (config / "config.yaml").write_text(yaml.safe_dump({"profiles": {"lab": profile}}))
    unset = {"TRAINYARD_KUBECONFIG": "", "TRAINYARD_NAMESPACE": ""}
    team.says("models", "download", "cats", "--profile", "lab", **unset)
    assert content(team.folder / "cats") == FILES


def test_a_model_that_is_not_there_is_told_in_a_sentence(team: Team) -> None:
    sentence = team.refuses("models", "download", "cats", **team.reach)
    assert f"there is no TrainedModel cats in namespace {team.namespace}" in sentence


def test_a_store_that_does_not_answer_is_told_in_a_sentence(team: Team) -> None:
    team.model("cats")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nowhere = {"TRAINYARD_S3_ENDPOINT": f"http://127.0.0.1:{port}"}
    sentence = team.refuses("models", "download", "cats", **team.keys | nowhere)
    assert f"http://127.0.0.1:{port}" in sentence
    assert content(team.folder / "cats") == {}
