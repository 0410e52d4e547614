"""What is known of a built image, and the commands that need one."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from trainyard_local.cli import main
from trainyard_local.errors import LocalClusterError
from trainyard_local.images.build import BuiltImage, Workshop, chosen
from trainyard_local.images.layers import Layer
from trainyard_local.images.spec import OPERATOR, TRAINER


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path))
    place = Workshop(tmp_path / "images")
    place.root.mkdir()
    return place


def record(place: Workshop) -> BuiltImage:
    venv = place.dependencies / "trainer-0123/venv"
    venv.mkdir(parents=True)
    manifest = place.layout.write({"layers": []}, "manifest")
    image = BuiltImage(
        name="trainer",
        reference="localhost/trainyard-trainer:0123456789ab",
        manifest=str(manifest["digest"]),
        heavy=Layer("sha256:1", 5),
        heavy_folder=str(venv),
        earlier=("localhost/trainyard-trainer:older",),
    )
    place.record(TRAINER).write_text(json.dumps(asdict(image)))
    return image


def test_a_record_is_read_back_as_it_was_written(place: Workshop) -> None:
    image = record(place)
    assert place.built(TRAINER) == image
    assert place.built(OPERATOR) is None


def test_a_record_counts_for_nothing_when_what_it_names_is_gone(place: Workshop) -> None:
    image = record(place)
    place.layout.blob(image.manifest).unlink()
    assert place.built(TRAINER) is None


def test_a_record_counts_for_nothing_without_its_dependencies(place: Workshop) -> None:
    image = record(place)
    Path(image.heavy_folder).rmdir()
    assert place.built(TRAINER) is None


def test_no_name_means_all_images_and_an_unknown_one_is_told() -> None:
    assert chosen([]) == [OPERATOR, TRAINER]
    assert chosen(["trainer"]) == [TRAINER]
    with pytest.raises(LocalClusterError, match="no image web; there are operator, trainer"):
        chosen(["web"])


def test_the_reference_is_printed_by_tag_and_by_digest(
    place: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    image = record(place)
    assert main(["images", "reference", "trainer"]) == 0
    assert main(["images", "reference", "trainer", "--digest"]) == 0
    tagged, pinned = capsys.readouterr().out.split()
    assert tagged == image.reference
    assert pinned == f"localhost/trainyard-trainer@{image.manifest}"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "command",
    [["reference", "operator"], ["load", "operator", "--containerd", "/none.sock"]],
    ids=["reference", "load"],
)
def test_a_command_that_needs_an_image_says_how_to_build_it(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["images", *command]) == 1
    assert "the operator image is not built: run `images build operator`" in capsys.readouterr().err
