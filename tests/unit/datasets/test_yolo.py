import pytest

from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.yolo import parse_yolo
from trainyard.datasets.labels import Label

NAMES = ("cat", "dog")


def parse(text: str | bytes) -> tuple[Label, ...]:
    data = text.encode() if isinstance(text, str) else text
    return parse_yolo(data, "labels/a.txt", NAMES, "class")


def test_a_box_becomes_its_corners() -> None:
    (label,) = parse("1 0.5 0.5 0.2 0.4\n")
    assert (label.attribute, label.value, label.geometry) == ("class", "dog", "box")
    assert label.points == pytest.approx((0.4, 0.3, 0.6, 0.7))


def test_a_polygon_keeps_its_points() -> None:
    (label,) = parse("0 0.1 0.1 0.9 0.1 0.5 0.9")
    assert (label.geometry, label.points) == ("polygon", (0.1, 0.1, 0.9, 0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf0 0.5 0.5 0.2 0.2",
        b"0 0.5 0.5 0.2 0.2\r\n\r\n",
        b"\n  0\t0.5 0.5  0.2 0.2  \n",
        b"0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n",
        b"0.0 5e-1 0.5 0.2 0.2",
    ],
    ids=["byte order mark", "Windows line ends", "odd spaces", "a repeated line", "floats"],
)
def test_harmless_spellings_are_read(data: bytes) -> None:
    assert len(parse(data)) == 1


def test_no_lines_are_no_labels() -> None:
    assert parse(b"") == ()


def test_a_box_slightly_over_the_edge_is_cut_at_the_edge() -> None:
    (label,) = parse("0 0.1 0.5 0.204 0.2")
    assert label.points[0] == 0.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2 0.5 0.5 0.2 0.2", "class 2, but there are 2 classes only (0 to 1)"),
        ("-1 0.5 0.5 0.2 0.2", "the class '-1' is not a whole number from 0"),
        ("0.5 0.5 0.5 0.2 0.2", "the class '0.5' is not a whole number from 0"),
        ("cat 0.5 0.5 0.2 0.2", "'cat' is not a number"),
        ("1_0 0.5 0.5 0.2 0.2", "'1_0' is not a number"),
        ("0 1.2 0.5 0.2 0.2", "1.2 is outside of 0..1"),
        ("0 -0.1 0.5 0.2 0.2", "-0.1 is outside of 0..1"),
        ("0 0.95 0.5 0.2 0.2", "the box reaches outside of the image (to 1.05"),
        ("0 nan 0.5 0.2 0.2", "'nan' is not a finite number"),
        ("0 0.5 inf 0.2 0.2", "'inf' is not a finite number"),
        ("0 0.5 0.5 0 0.2", "the box has no area"),
        ("0 0.5 0.5 0.2", "4 columns; a box has 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns"),
        ("0 0.1 0.1 0.9 0.1 0.5 0.9 0.3", "8 columns"),
        ("0 320 240 64 64", "320 is outside of 0..1"),
        ("0,0.5,0.5,0.2,0.2", "'0,0.5,0.5,0.2,0.2' is not a number"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_value(line: str, said: str) -> None:
    with pytest.raises(BadData) as caught:
        parse(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    assert str(caught.value).startswith("labels/a.txt:2: ")
    assert said in str(caught.value)


def test_a_file_that_is_no_text_is_named() -> None:
    with pytest.raises(BadData, match=r"labels/a\.txt: not a text file"):
        parse(b"\xff\xfe\x00\x80")
