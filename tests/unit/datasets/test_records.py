import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.datasets.arranged import arrange, labels, refused, selection_of
from tests.unit.labelled import write_folder
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Annotations, Format
from trainyard.datasets.formats.records import Records
from trainyard.datasets.labels import Label
from trainyard.datasets.problems import Problems
from trainyard.stores import open_store

Cells = Mapping[str, object]
BOX: Cells = {"image": "a.jpg", "entity": "e1", "value": "cat", "box": [0.1, 0.2, 0.5, 0.6]}
CAT = Label("class", "cat", "box", (0.1, 0.2, 0.5, 0.6))


def lines(*rows: Cells) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(*rows: Cells, **types: pa.DataType) -> bytes:
    buffer = io.BytesIO()
    columns = dict.fromkeys(column for row in rows for column in row)
    cells = {
        column: pa.array([row.get(column) for row in rows], types.get(column)) for column in columns
    }
    pq.write_table(pa.table(cells), buffer)
    return buffer.getvalue()


def opened(root: Path, *rows: Cells, **options: object) -> Format:
    return arrange(root, "records", {"rows.jsonl": lines(*rows), "a.jpg": ""}, **options)


def only(root: Path, *rows: Cells, **options: object) -> Annotations:
    made = opened(root, *rows, **options)
    (entry,) = made.images()
    return made.annotations(entry)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_row_is_a_label(tmp_path: Path, kind: str) -> None:
    rows = (
        BOX,
        {"image": "a.jpg", "value": "night"},
        {"image": "a.jpg", "entity": "e1", "attribute": "colour", "value": "red", "polygon": []},
        {"image": "a.jpg", "entity": "e2", "value": "dog", "polygon": [0, 0, 0.5, 0, 0.5, 0.5]},
    )
    content = lines(*rows) if kind == "jsonl" else parquet(*rows)
    made = arrange(tmp_path, "records", {f"rows.{kind}": content, "a.jpg": ""})
    assert labels(made) == {
        "a.jpg": (
            CAT,
            Label("class", "dog", "polygon", (0, 0, 0.5, 0, 0.5, 0.5)),
            Label("class", "night", "image"),
            Label("colour", "red", "image"),
        )
    }


def test_all_files_are_one_table(tmp_path: Path) -> None:
    files = {
        "rows/1.parquet": parquet(BOX),
        "rows/2.jsonl": lines({**BOX, "value": "dog"}),
        "rows/3.ndjson": lines({**BOX, "value": "fish"}),
        "a.jpg": "",
    }
    (found,) = labels(arrange(tmp_path, "records", files)).values()
    assert [label.value for label in found] == ["cat", "dog", "fish"]


def test_an_image_is_looked_for_beside_the_file_and_then_at_the_root(tmp_path: Path) -> None:
    files = {
        "b/rows.jsonl": lines(BOX, {**BOX, "image": "c.jpg"}, {**BOX, "image": "b/d.jpg"}),
        "b/a.jpg": "",
        "a.jpg": "",
        "c.jpg": "",
        "b/d.jpg": "",
    }
    made = arrange(tmp_path, "records", files)
    assert list(labels(made)) == ["b/a.jpg", "b/d.jpg", "c.jpg"]
    assert refused(made) == {"NotInAnnotations": ("a.jpg",)}


def test_a_row_with_an_image_only_says_that_nothing_is_on_it(tmp_path: Path) -> None:
    assert only(tmp_path, {"image": "a.jpg"}) == Annotations()


def test_what_is_not_there_is_counted_once_and_other_files_are_left(tmp_path: Path) -> None:
    gone = {**BOX, "image": "gone.jpg"}
    files = {"rows.jsonl": lines(BOX, gone, BOX, gone), "a.jpg": "", "b.jpg": "", "c.txt": ""}
    made = arrange(tmp_path, "records", files)
    assert len(made) == 1
    assert {x.reason: x.count for x in made.refused.counts()} == {
        "ImageMissing": 1,
        "NotInAnnotations": 1,
        "OtherFile": 1,
    }


def test_class_names_are_about_the_attribute_of_the_selection(tmp_path: Path) -> None:
    colour = {**BOX, "attribute": "colour", "value": "red"}
    found = only(tmp_path, {**BOX, "value": 1}, colour, attribute="kind", classNames=["cat", "dog"])
    assert [(label.attribute, label.value) for label in found.labels] == [
        ("colour", "red"),
        ("kind", "dog"),
    ]


def test_tags_of_all_rows_are_those_of_the_image(tmp_path: Path) -> None:
    found = only(tmp_path, {**BOX, "tags": ["night", "rain"]}, {**BOX, "tags": ["rain", "fog"]})
    assert found.tags == {"night", "rain", "fog"}


def test_a_byte_order_mark_windows_line_ends_and_empty_lines_are_harmless(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + lines(BOX, {**BOX, "value": "dog"}).replace("\n", "\r\n\r\n").encode()
    made = arrange(tmp_path, "records", {"rows.jsonl": text, "a.jpg": ""})
    assert len(labels(made)["a.jpg"]) == 2


# Submissions


def at(time: object, value: str, submission: object = None, entity: object = "e1") -> Cells:
    return {**BOX, "entity": entity, "value": value, "submission": submission, "submittedAt": time}


def values(root: Path, *rows: Cells, **rule: object) -> list[str] | None:
    """What is said of the image after the filter; None if it is not wanted."""
    found = only(root, *rows, filter=rule)
    return [label.value for label in found.labels] if found.wanted else None


FIRST, SECOND, THIRD = (f"2026-05-0{day}T00:00:00Z" for day in (1, 2, 3))


def test_without_the_filter_all_that_anybody_said_counts(tmp_path: Path) -> None:
    assert values(tmp_path, at(FIRST, "cat"), at(SECOND, "dog")) == ["cat", "dog"]


def test_the_last_submission_of_each_entity_wins(tmp_path: Path) -> None:
    rows = (
        at(SECOND, "dog", "s2"),
        at(FIRST, "cat", "s1"),
        at(FIRST, "bird", "s1", entity="e2"),
        at(THIRD, "fish", "s3", entity="e3"),
    )
    assert values(tmp_path, *rows, latestSubmissionsOnly=True) == ["bird", "dog", "fish"]


def test_all_rows_of_the_last_submission_stay(tmp_path: Path) -> None:
    rows = (at(FIRST, "cat", 1), at(SECOND, "dog", 2), {**at(FIRST, "red", 2), "attribute": "hue"})
    assert values(tmp_path, *rows, latestSubmissionsOnly=True) == ["dog", "red"]


def test_rows_without_an_entity_are_replaced_together(tmp_path: Path) -> None:
    rows = (
        at(FIRST, "cat", 1, entity=None),
        at(FIRST, "dog", 1, entity=None),
        at(SECOND, "bird", 2, entity=None),
        at(SECOND, "fish", 2, entity=None),
    )
    assert values(tmp_path, *rows, latestSubmissionsOnly=True) == ["bird", "fish"]


def test_an_entity_may_be_taken_back(tmp_path: Path) -> None:
    gone = {"image": "a.jpg", "entity": "e1", "submission": 2, "submittedAt": SECOND}
    assert values(tmp_path, at(FIRST, "cat", 1), gone, latestSubmissionsOnly=True) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "b"), (1, 2), (9, 10), (10, "1"), (None, 1), ("A", "a")],
)
@pytest.mark.parametrize("turned", [False, True])
def test_of_submissions_at_the_same_time_the_one_with_the_greatest_id_wins(
    tmp_path: Path, first: object, second: object, turned: bool
) -> None:
    rows: Sequence[Cells] = (at(FIRST, "cat", first), at(FIRST, "dog", second))
    found = values(tmp_path, *(rows[::-1] if turned else rows), latestSubmissionsOnly=True)
    assert found == ["dog"]


def test_rows_without_an_id_are_one_submission_if_their_time_is_the_same(tmp_path: Path) -> None:
    rows = (at(FIRST, "cat"), at(SECOND, "dog"), at(SECOND, "bird"))
    assert values(tmp_path, *rows, latestSubmissionsOnly=True) == ["bird", "dog"]


def test_the_window_has_its_beginning_and_not_its_end(tmp_path: Path) -> None:
    rows = (at(FIRST, "cat", 1, "e1"), at(SECOND, "dog", 2, "e2"), at(THIRD, "bird", 3, "e3"))
    assert values(tmp_path, *rows, submittedAfter=SECOND, submittedBefore=THIRD) == ["dog"]


def test_the_window_comes_before_the_last_submission(tmp_path: Path) -> None:
    rows = (at(FIRST, "cat", 1), at(SECOND, "dog", 2), at(THIRD, "bird", 3))
    rule = {"latestSubmissionsOnly": True, "submittedBefore": THIRD}
    assert values(tmp_path, *rows, **rule) == ["dog"]


def test_an_image_of_which_the_window_leaves_nothing_is_not_wanted(tmp_path: Path) -> None:
    assert values(tmp_path, at(FIRST, "cat", 1), submittedAfter=SECOND) is None


@pytest.mark.parametrize(
    "time",
    [
        "2026-05-02T00:00:00Z",
        "2026-05-02T02:00:00+02:00",
        "2026-05-02 00:00:00",
        "2026-05-02",
        "20260502T000000Z",
        1777680000,
        1777680000.0,
    ],
)
def test_a_time_may_be_written_in_several_ways(tmp_path: Path, time: object) -> None:
    window = {"submittedAfter": SECOND, "submittedBefore": "2026-05-02T00:00:01Z"}
    assert values(tmp_path, at(time, "cat"), **window) == ["cat"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("ns"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "Asia/Tokyo"),
        pa.timestamp("us", "Nobody/KnowsIt"),
    ],
)
def test_times_of_parquet_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    time = datetime(2026, 5, 2, tzinfo=UTC)
    table = pa.Table.from_pylist([at(time, "cat")]).set_column(
        5, "submittedAt", pa.array([time], pa.timestamp("us", "UTC")).cast(kind)
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    window = {"submittedAfter": SECOND, "submittedBefore": "2026-05-02T00:00:01Z"}
    files = {"rows.parquet": buffer.getvalue(), "a.jpg": ""}
    assert labels(arrange(tmp_path, "records", files, filter=window)) == {"a.jpg": (CAT,)}


@pytest.mark.parametrize("rule", [{"latestSubmissionsOnly": True}, {"submittedAfter": FIRST}])
def test_a_row_without_a_time_cannot_be_judged(tmp_path: Path, rule: object) -> None:
    with pytest.raises(BadData, match=r"rows\.jsonl:2: it has no submittedAt, which the filter"):
        only(tmp_path, at(FIRST, "cat"), BOX, filter=rule)


# Groups


def grouped(root: Path, files: Mapping[str, str | bytes], column: str) -> dict[str, str | None]:
    write_folder(root, {k: v.encode() if isinstance(v, str) else v for k, v in files.items()})
    there = SourceFiles(open_store(StoreLocation()), f"file://{root}")
    made = Records(selection_of("records"), there, Problems(), column)
    return {entry.name: made.annotations(entry).group for entry in made.images()}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_any_column_may_name_the_group(tmp_path: Path, kind: str) -> None:
    rows = ({**BOX, "camera": "left"}, {**BOX, "image": "b.jpg", "camera": None})
    content = lines(*rows) if kind == "jsonl" else parquet(*rows)
    files = {f"rows.{kind}": content, "a.jpg": "", "b.jpg": ""}
    assert grouped(tmp_path, files, "camera") == {"a.jpg": "left", "b.jpg": None}


def test_numbers_name_groups_too(tmp_path: Path) -> None:
    files = {"rows.jsonl": lines({**BOX, "patient": 7}), "a.jpg": ""}
    assert grouped(tmp_path, files, "patient") == {"a.jpg": "7"}


def test_a_column_that_no_file_has_is_an_error(tmp_path: Path) -> None:
    files = {"rows.parquet": parquet(BOX), "more.jsonl": lines(BOX), "a.jpg": ""}
    with pytest.raises(BadData, match="no records file has the column 'camera' that groupBy names"):
        grouped(tmp_path, files, "camera")


def test_an_image_in_two_groups_is_an_error(tmp_path: Path) -> None:
    rows = lines({**BOX, "camera": "left"}, {**BOX, "camera": "right"})
    said = r"rows\.jsonl:2: a\.jpg is of the group 'right', but of 'left' in rows\.jsonl:1"
    with pytest.raises(BadData, match=said):
        grouped(tmp_path, {"rows.jsonl": rows, "a.jpg": ""}, "camera")


# What cannot be used


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"value": "cat"}, "it has no image"),
        ({"image": 7}, "the image's name '7' is no file's"),
        ({"image": ""}, "the image's name '' is no file's"),
        ({"image": "."}, "the image's name '.' is no file's"),
        ({"image": "\ud800.jpg"}, "the image's name '\\ud800.jpg' is not Unicode"),
        ({"image": "../a.jpg"}, "the image's name '../a.jpg' leads out of the source"),
        ({"image": "/data/a.jpg"}, "the image's name '/data/a.jpg' leads out of the source"),
        ({"image": "s3://b/a.jpg"}, "the image's name 's3://b/a.jpg' leads out of the source"),
        ({**BOX, "polygon": [0, 0, 1, 0, 1, 1]}, "it has a box and a polygon: give one of them"),
        ({"image": "a.jpg", "box": [0, 0, 1, 1]}, "it has a box and no value"),
        ({**BOX, "box": [0.1, 0.2, 0.5]}, "box is not a list [x_min, y_min, x_max, y_max]"),
        ({**BOX, "box": "0.1 0.2 0.5 0.6"}, "box is not a list"),
        ({**BOX, "box": 0}, "box is not a list"),
        ({**BOX, "box": ""}, "box is not a list"),
        ({**BOX, "box": [0.1, 0.2, 0.5, None]}, "the box has 'None', which is no number"),
        ({**BOX, "box": [10, 20, 300, 400]}, "the box reaches outside of the image (to 10 where"),
        ({**BOX, "box": [10**400, 20, 300, 400]}, "the box has the coordinate 1000"),
        ({**BOX, "box": [0.5, 0.2, 0.1, 0.6]}, "the box has no area (width -0.4, height 0.4"),
        ({"image": "a.jpg", "value": "x", "polygon": [0, 1, 1, 0]}, "a polygon of 4 numbers"),
        ({**BOX, "value": ""}, "the value: the class name '' is not a line of 1 to 128 characters"),
        ({**BOX, "value": 1.5}, "the value: the class name 1.5 is not a line"),
        ({**BOX, "value": True}, "the value: the class name True is not a line"),
        ({**BOX, "value": "a\nb"}, "the value: the class name 'a\\nb' is not a line"),
        ({**BOX, "attribute": ["a"]}, "the attribute ['a'] is not a line"),
        ({**BOX, "tags": "night"}, "tags is not a list of texts"),
        ({**BOX, "tags": [7]}, "the tag 7 is not a line"),
        ({**BOX, "entity": {"id": 1}}, "the entity {'id': 1} is not a line"),
        ({**BOX, "submission": 1 << 64}, "the submission 18446744073709551616 is not a line"),
        ({**BOX, "submittedAt": "yesterday"}, "submittedAt 'yesterday' is no time as ISO 8601"),
        ({**BOX, "submittedAt": 1777680000000}, "submittedAt 1777680000000 is no number of sec"),
        ({**BOX, "submittedAt": [2026]}, "submittedAt '[2026]' is neither a text nor a time"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named_with_file_and_line(
    tmp_path: Path, cells: Cells, said: str
) -> None:
    with pytest.raises(BadData) as caught:
        opened(tmp_path, BOX, cells)
    assert str(caught.value).startswith(f"rows.jsonl:2: {said}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"image": "a.jpg"', "not valid JSON: "),
        ('["a.jpg"]', "it is not an object"),
        ('{"image": "a.jpg", "box": [NaN]}', "not valid JSON: NaN is no number of JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"image": ' + "9" * 5000 + "}", "not valid JSON: "),
        ('{"image": "' + "a" * (9 << 20) + '"}', "the line is longer than 8 MiB"),
        (b'{"image": "\xff"}', "not valid JSON: "),
    ],
    ids=["cut off", "list", "NaN", "deep", "digits", "long", "not UTF-8"],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str | bytes, said: str) -> None:
    data = line.encode() if isinstance(line, str) else line
    files = {"rows.jsonl": lines(BOX).encode() + data, "a.jpg": ""}
    with pytest.raises(BadData) as caught:
        arrange(tmp_path, "records", files)
    assert str(caught.value).startswith(f"rows.jsonl:2: {said}")
    assert len(str(caught.value)) < 300


def test_a_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    rows = [BOX] * 700 + [{**BOX, "box": [0.0, 0.0, 2.0, 1.0]}]
    with pytest.raises(BadData, match=r"^rows\.parquet: row 701: the box reaches outside"):
        arrange(tmp_path, "records", {"rows.parquet": parquet(*rows), "a.jpg": ""})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a Parquet file that can be read"),
        (b"PAR1 not at all PAR1", "not a Parquet file that can be read"),
        (parquet(BOX)[:-40], "not a Parquet file that can be read"),
        (parquet(BOX).replace(b"a.jpg", b"\xff.jpg"), "not a Parquet file that can be read"),
        (parquet({"file": "a.jpg"}), "it has no column 'image'"),
        (parquet({"image": b"a.jpg"}), "row 1: the image's name"),
        (
            parquet({"image": "a.jpg", "submittedAt": 1 << 62}, submittedAt=pa.timestamp("us")),
            "a row after",
        ),
    ],
    ids=["empty", "other", "cut off", "not UTF-8", "no column", "bytes", "a time out of range"],
)
def test_a_parquet_file_that_cannot_be_used_is_named(
    tmp_path: Path, data: bytes, said: str
) -> None:
    with pytest.raises(BadData) as caught:
        arrange(tmp_path, "records", {"rows.parquet": data, "a.jpg": ""})
    assert str(caught.value).startswith(f"rows.parquet: {said}")


def test_an_image_of_endless_rows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.datasets.formats.base.MOST_ROWS", 5)
    assert len(only(tmp_path, *[BOX] * 5).labels) == 1
    with pytest.raises(BadData, match=r"^a\.jpg has more than 5 rows: check that all"):
        only(tmp_path, *[BOX] * 6)


def test_images_without_any_records_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match=r"there are no records: put \.parquet, \.jsonl or \.ndjson files"
    ):
        arrange(tmp_path, "records", {"a.jpg": ""})
