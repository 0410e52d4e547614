"""Unpacked packages and buildah's command lines."""

from collections.abc import Sequence
from pathlib import Path

from trainyard_local.images.buildah import LONGEST, build_arguments, last_line
from trainyard_local.images.packages import closure

DEPENDS = {
    "buildah": "uidmap, golang-github-containers-common (>= 0.50), libc6 (>= 2.34), libgpgme11",
    "golang-github-containers-common": "init-system-helpers",
    "libgpgme11": "libassuan0 (>= 2.4), libgpg-error0 | libgpg-error-new, libc6",
    "libassuan0": "libc6, libgpg-error0",
}


def test_packages_bring_their_libraries_but_not_the_systems_own() -> None:
    asked: list[str] = []

    def depends(packages: Sequence[str]) -> dict[str, str]:
        asked.extend(packages)
        return {name: DEPENDS.get(name, "") for name in packages}

    assert closure(["buildah"], depends) == [
        "buildah",
        "golang-github-containers-common",
        "libassuan0",
        "libgpg-error0",
        "libgpgme11",
    ]
    assert len(asked) == len(set(asked))


def test_a_build_pulls_nothing_and_gives_equal_results_for_equal_inputs() -> None:
    command = build_arguments(
        containerfile="operator/Containerfile",
        target="image",
        tag="localhost/x:1",
        arguments={"DEPENDENCIES": "localhost/d:1", "BASE": "localhost/b:1"},
        volumes={Path("/cache/d"): "/opt/trainyard:ro"},
        policy=["--signature-policy", "/cache/policy.json"],
    )
    assert command[0] == "bud"
    assert command[-1] == "."
    text = " ".join(command)
    for wanted in (
        "--pull-never",
        "--timestamp 0",
        "--isolation chroot",
        "--signature-policy /cache/policy.json",
        "--file operator/Containerfile --target image --tag localhost/x:1",
        "--build-arg BASE=localhost/b:1 --build-arg DEPENDENCIES=localhost/d:1",
        "--volume /cache/d:/opt/trainyard:ro",
    ):
        assert wanted in text


def test_the_last_line_of_a_log_is_cut_to_what_a_sentence_can_hold(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("first\n\nthe reason\n\n")
    assert last_line(log) == "the reason"
    log.write_text("step " * 500 + "no such file")
    assert last_line(log).endswith("no such file")
    assert len(last_line(log)) < LONGEST + 10
    log.write_text("")
    assert last_line(log) == "no message"
