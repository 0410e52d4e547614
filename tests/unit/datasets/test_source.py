"""What of a source is taken, in which order, and what is read for it."""

import hashlib
import json
import random
import shutil
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.labelled import image_bytes, write_folder
from trainyard.api.dataset import Selection
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.found import LeftOut, LoadedImage, Match
from trainyard.datasets.in_order import AHEAD
from trainyard.datasets.sampling import Shuffled
from trainyard.datasets.source import Source
from trainyard.stores import ObjectInfo, Store, open_store


class _Watched:
    """The store, which counts the files that are read."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.read: list[str] = []

    def read_bytes(self, uri: str, *rest: Any) -> bytes:
        self.read.append(uri.rpartition("/")[2])
        return self._inner.read_bytes(uri, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Unordered(_Watched):
    """The store, which lists in another order."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        entries = list(self._inner.list(prefix))
        random.Random(7).shuffle(entries)
        return iter(entries)


@pytest.fixture
def watched() -> _Watched:
    return _Watched(open_store(StoreLocation()))


def open_source(
    store: Any, root: Path, kind: str = "folders", group_by: str | None = None, **rule: Any
) -> Source:
    selection = Selection.model_validate(
        {"source": {"s3": {"bucket": "data"}}, "format": kind}
        | ({"filter": rule} if rule else {})
        | ({"classNames": ["disc", "square"]} if kind == "yolo" else {})
    )
    return Source(store, selection, uri=f"file://{root}", group_by=group_by)


def results(source: Source) -> list[LoadedImage | LeftOut]:
    with closing(source):
        return list(source.images())


def taken(found: list[LoadedImage | LeftOut]) -> list[str]:
    return [image.name for image in found if isinstance(image, LoadedImage)]


def reasons(found: list[LoadedImage | LeftOut]) -> Counter[str]:
    return Counter(image.reason for image in found if isinstance(image, LeftOut))


def many(root: Path, count: int = 40) -> None:
    write_folder(root, {f"ab/{n:03}.png": image_bytes(n) for n in range(count)})


def test_what_a_filter_leaves_out_is_counted_and_not_read(
    watched: _Watched, tmp_path: Path
) -> None:
    write_folder(
        tmp_path, {"cat/1.png": image_bytes(1), "dog/2.png": b"", "dog/3.png": image_bytes(3)}
    )
    found = results(open_source(watched, tmp_path, classes=["cat"]))
    assert taken(found) == ["cat/1.png"]
    assert reasons(found) == {"Filtered": 2}
    assert watched.read == ["1.png"]


def test_an_image_that_is_taken_keeps_all_of_its_labels(watched: _Watched, tmp_path: Path) -> None:
    write_folder(
        tmp_path,
        {
            "1.png": image_bytes(1),
            "1.txt": b"0 .5 .5 .2 .2\n1 .5 .5 .1 .1\n",
            "2.png": image_bytes(2),
            "2.txt": b"1 .5 .5 .2 .2\n",
        },
    )
    found = results(open_source(watched, tmp_path, "yolo", classes=["disc"]))
    (image,) = (one for one in found if isinstance(one, LoadedImage))
    assert [label.value for label in image.annotations.labels] == ["disc", "square"]


def test_where_the_path_alone_decides_no_label_is_read(watched: _Watched, tmp_path: Path) -> None:
    write_folder(
        tmp_path,
        {
            "cam1.png": image_bytes(1),
            "cam1.txt": b"0 .5 .5 .2 .2\n",
            "cam2.png": image_bytes(2),
            "cam2.txt": b"what is this",
        },
    )
    found = results(open_source(watched, tmp_path, "yolo", search="CAM1"))
    assert taken(found) == ["cam1.png"]
    assert sorted(watched.read) == ["cam1.png", "cam1.txt"]


def test_a_filter_that_leaves_nothing_is_an_error_that_repeats_it(
    watched: _Watched, tmp_path: Path
) -> None:
    write_folder(tmp_path, {"cat/1.png": b"", "dog/1.png": b""})
    said = (
        r"the filter \(classes catt\) takes none of the 2 images under file://.*, whose classes "
        "are for example cat, dog: correct it"
    )
    with pytest.raises(BadData, match=said):
        results(open_source(watched, tmp_path, classes=["catt"]))


def test_a_limit_takes_as_many_and_leaves_out_the_others(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path)
    found = results(open_source(watched, tmp_path, limit=7))
    assert len(taken(found)) == 7
    assert reasons(found) == {"Filtered": 33}
    assert len(found) == len({image.name for image in found}) == 40


def test_a_limit_above_what_there_is_takes_all(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path, 5)
    found = results(open_source(watched, tmp_path, limit=6))
    assert len(taken(found)) == 5


def test_the_choice_depends_on_seed_and_names_only(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = taken(results(open_source(watched, tmp_path / "one", limit=7, seed=1)))
    unordered = _Unordered(open_store(StoreLocation()))
    assert taken(results(open_source(watched, tmp_path / "one", limit=7, seed=1))) == first
    assert taken(results(open_source(unordered, tmp_path / "two", limit=7, seed=1))) == first
    other = taken(results(open_source(watched, tmp_path / "one", limit=7, seed=2)))
    assert set(other) != set(first)
    more = taken(results(open_source(watched, tmp_path / "one", limit=9, seed=1)))
    assert more[:7] == first


def test_the_order_is_that_of_the_documented_hash(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path, 20)
    found = taken(results(open_source(watched, tmp_path, limit=20, seed=3)))
    assert found == sorted(
        (f"ab/{n:03}.png" for n in range(20)),
        key=lambda name: hashlib.sha256(f"3:{name}".encode()).digest(),
    )


def test_an_image_that_is_refused_is_replaced_by_the_next(
    watched: _Watched, tmp_path: Path
) -> None:
    many(tmp_path)
    before = taken(results(open_source(watched, tmp_path, limit=8)))
    (tmp_path / before[2]).write_bytes(b"no image")
    found = results(open_source(watched, tmp_path, limit=7))
    assert taken(found) == before[:2] + before[3:]
    assert reasons(found) == {"NotAnImage": 1, "Filtered": 32}


def test_copies_of_a_chosen_image_use_up_nothing_of_a_limit(
    watched: _Watched, tmp_path: Path
) -> None:
    write_folder(tmp_path, {f"ab/{n:03}.png": image_bytes(n % 5) for n in range(40)})
    found = results(open_source(watched, tmp_path, limit=4))
    chosen = [image.digest for image in found if isinstance(image, LoadedImage)]
    assert len(set(chosen)) == 4 < len(chosen)


def test_a_bad_label_behind_the_last_one_taken_does_not_count(
    watched: _Watched, tmp_path: Path
) -> None:
    write_folder(tmp_path, {f"{n:03}.png": image_bytes(n) for n in range(30)})
    order = taken(results(open_source(watched, tmp_path, "yolo", limit=30)))
    for name in order[3:]:
        (tmp_path / name).with_suffix(".txt").write_text("what is this")
    found = results(open_source(watched, tmp_path, "yolo", limit=3))
    assert taken(found) == order[:3]
    with pytest.raises(BadData, match=f"{order[3][:3]}.txt:1"):
        results(open_source(watched, tmp_path, "yolo", limit=4))


def test_little_more_is_read_than_a_limit_asks_for(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path)
    results(open_source(watched, tmp_path, limit=3))
    assert 3 <= len(watched.read) <= 6


def test_a_limit_counts_what_the_rest_of_the_filter_takes(
    watched: _Watched, tmp_path: Path
) -> None:
    write_folder(tmp_path, {f"{'ab'[n % 2]}/{n:03}.png": image_bytes(n) for n in range(40)})
    found = results(open_source(watched, tmp_path, limit=7, classes=["b"]))
    assert len(taken(found)) == 7
    assert all(name.startswith("b/") for name in taken(found))
    assert not any(int(name[:3]) % 2 == 0 for name in watched.read)


def test_what_is_left_out_is_not_read_ahead_without_bound(
    watched: _Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {f"a/{n:03}.png": b"" for n in range(300)} | {"b/1.png": image_bytes(1)})
    source = open_source(watched, tmp_path, classes=["b"])
    asked: list[str] = []
    match = source._match

    def remember(entry: ObjectInfo) -> Match | LeftOut:
        asked.append(entry.name)
        return match(entry)

    monkeypatch.setattr(source, "_match", remember)
    with closing(source):
        images = source.images()
        next(images)
        assert len(asked) <= AHEAD + 1
        assert len(list(images)) == 300


def test_every_image_is_in_the_group_that_its_path_names(watched: _Watched, tmp_path: Path) -> None:
    names = ["a/cam1_1.png", "a/cam1_2.png", "b/cam2_1.png", "b/other.png"]
    write_folder(tmp_path, {name: image_bytes(n) for n, name in enumerate(names)})
    found = results(open_source(watched, tmp_path, group_by=r"/(cam\d)_"))
    groups = {image.name: image.group for image in found if isinstance(image, LoadedImage)}
    assert groups == {"a/cam1_1.png": "cam1", "a/cam1_2.png": "cam1", "b/cam2_1.png": "cam2"}
    assert [(x.name, x.reason) for x in found if isinstance(x, LeftOut)] == [
        ("b/other.png", "NoGroup")
    ]
    assert "other.png" not in watched.read


def records(root: Path, *rows: dict[str, object]) -> None:
    """Images and one table that says these things about them."""
    names = sorted({str(row["image"]) for row in rows})
    write_folder(root, {name: image_bytes(n) for n, name in enumerate(names)})
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_column_of_records_names_the_group(watched: _Watched, tmp_path: Path) -> None:
    records(
        tmp_path,
        {"image": "1.png", "value": "cat", "patient": "p1"},
        {"image": "2.png", "value": "cat", "patient": 2},
        {"image": "3.png", "value": "cat"},
    )
    found = results(open_source(watched, tmp_path, "records", group_by="patient"))
    groups = {image.name: image.group for image in found if isinstance(image, LoadedImage)}
    assert groups == {"1.png": "p1", "2.png": "2"}
    assert reasons(found) == {"NoGroup": 1}


def test_what_is_asked_of_submissions_tags_and_text_holds_together(
    watched: _Watched, tmp_path: Path
) -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"
    records(
        tmp_path,
        {"image": "1.png", "value": "cat", "tags": ["night", "cam1"], "submittedAt": late},
        {"image": "2.png", "value": "cat", "tags": ["night", "cam1"], "submittedAt": early},
        {"image": "3.png", "value": "cat", "tags": ["cam1"], "submittedAt": late},
        {"image": "4.png", "value": "cat", "tags": ["night"], "submittedAt": late},
        {"image": "cam1.png", "value": "cat", "tags": ["night"], "submittedAt": late},
    )
    found = results(
        open_source(
            watched,
            tmp_path,
            "records",
            tags=["night"],
            search="CAM1",
            submittedAfter="2026-02-01T00:00:00Z",
        )
    )
    assert taken(found) == ["1.png", "cam1.png"]
    assert reasons(found) == {"Filtered": 3}
    assert sorted(watched.read) == ["1.png", "cam1.png"]


def test_a_class_counts_as_the_last_submission_names_it(watched: _Watched, tmp_path: Path) -> None:
    first: dict[str, object] = {"image": "1.png", "entity": "e", "value": "cat", "submittedAt": 1}
    records(tmp_path, first, first | {"value": "dog", "submittedAt": 2})
    cats = open_source(watched, tmp_path, "records", classes=["cat"], latestSubmissionsOnly=True)
    with pytest.raises(BadData, match="takes none of the 1 images"):
        results(cats)
    found = results(open_source(watched, tmp_path, "records", classes=["cat"]))
    assert taken(found) == ["1.png"]


def test_without_group_by_images_have_no_group(watched: _Watched, tmp_path: Path) -> None:
    many(tmp_path, 1)
    (image,) = results(open_source(watched, tmp_path))
    assert isinstance(image, LoadedImage)
    assert image.group is None


def test_a_group_by_that_cannot_be_used_is_said_before_anything_is_listed(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="groupBy 'camera' is the name of a column"):
        open_source(None, tmp_path, group_by="camera")


def test_matches_are_found_without_reading_an_image(watched: _Watched, tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat/1.png": b"", "cat/2.png": b"", "dog/3.png": b""})
    with closing(open_source(watched, tmp_path, classes=["cat"], limit=1)) as source:
        found = list(source.matches())
    assert [x.entry.name for x in found if isinstance(x, Match)] == ["cat/1.png", "cat/2.png"]
    assert [x.name for x in found if isinstance(x, LeftOut)] == ["dog/3.png"]
    assert watched.read == []


def test_the_order_of_many_files_is_not_held_in_memory() -> None:
    entries = (ObjectInfo(f"s3://b/{n}", f"{n}", n, "v") for n in range(50_000))
    tracemalloc.start()
    with closing(Shuffled(entries, 0)) as shuffled:
        assert sum(1 for _ in shuffled.after(10)) == 49_990
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 << 20
