"""What a process says about its data before it runs: counts, what is left out, warnings."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter
from support.world import World

from trainyard.cluster.resources import PROCESS


def _photo(seed: int) -> Image.Image:
    """Soft shapes of several sizes, as a camera sees them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    large = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(3))


def _saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_warnings_and_what_is_left_out_are_told_and_do_not_keep_a_run_from_starting(
    world: World,
) -> None:
    world.capability(classes=("cat", "dog"))
    world.template()
    cats = [_photo(seed) for seed in range(4)]
    train = {f"cat/{number}.png": _saved(cat, "PNG") for number, cat in enumerate(cats)}
    train |= {f"owl/{number}.png": _saved(_photo(50 + number), "PNG") for number in range(3)}
    train |= {"dog/1.png": _saved(_photo(99), "PNG")}
    # The same photo, written anew; and no dog.
    dev = {"cat/copy.jpg": _saved(cats[2], "JPEG"), "cat/new.png": _saved(_photo(9), "PNG")}
    test = {"cat/new.png": _saved(_photo(9), "PNG"), "dog/new.png": _saved(_photo(10), "PNG")}
    splits = {"train": train, "dev": dev, "test": test}
    for split, images in splits.items():
        world.dataset(split, images)
    hold = world.process("cats", held=True, datasets={split: [split] for split in splits})
    assert hold.started.wait(60)

    data = world.wait_phase(PROCESS, "cats", "Running")["data"]
    assert data["train"] == {
        "samples": 8,
        "annotations": 5,
        "leftOutAnnotations": 3,
        "leftOut": [{"attribute": "class", "value": "owl", "geometry": "image", "count": 3}],
    }
    assert {split: data[split]["samples"] for split in splits} == {"train": 8, "dev": 2, "test": 2}
    assert [warning["reason"] for warning in data["warnings"]] == [
        "ClassesNotJudged",
        "SimilarImages",
        "HeldOutOverlap",
    ]
    judged, similar, held_out = (warning["message"] for warning in data["warnings"])
    assert judged.startswith("dev has no example of class=dog: ")
    assert similar.startswith(
        "1 of 2 images of dev looks nearly the same as one of train (cat/copy.jpg like cat/2.png): "
    )
    assert held_out.startswith("1 image is in dev and in test (cat/new.png): ")

    told = [event for event in world.events("cats") if event["type"] == "Warning"]
    # All of one pass have the same time, so that their order says nothing.
    assert sorted((event["reason"], event["note"]) for event in told) == sorted(
        (warning["reason"], warning["message"]) for warning in data["warnings"]
    )
    described = world.kubectl("describe", "trainingprocess", "cats")
    assert similar in described
    assert "Left Out Annotations:  3" in described

    hold.let_go.set()
    assert world.succeeds("cats")["data"] == data
    assert len([event for event in world.events("cats") if event["type"] == "Warning"]) == 3
