from pathlib import Path

import pytest

from tests.unit.datasets.arranged import arrange, labels, refused
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.base import Annotations
from trainyard.datasets.formats.voc import parse_voc
from trainyard.datasets.labels import Label

OBJECT = (
    "<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>11</ymin>"
    "<xmax>100</xmax><ymax>25</ymax></bndbox></object>"
)
SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def document(*objects: str, size: str = SIZE) -> str:
    """Line 3 holds the size, and each object has a line from 4 on."""
    inside = "\n".join((size, *objects))
    return f"<annotation>\n<filename>other.jpg</filename>\n{inside}\n</annotation>\n"


def box(x_min: object, y_min: object, x_max: object, y_max: object, name: str = "cat") -> str:
    return (
        f"<object><name>{name}</name><bndbox><xmin>{x_min}</xmin><ymin>{y_min}</ymin>"
        f"<xmax>{x_max}</xmax><ymax>{y_max}</ymax></bndbox></object>"
    )


def parse(text: str | bytes, *class_names: str) -> Annotations:
    data = text.encode() if isinstance(text, str) else text
    return parse_voc(data, "Annotations/a.xml", "class", class_names)


def test_pixels_count_from_one_and_the_last_one_belongs_to_the_box() -> None:
    made = parse(document(box(1, 11, 100, 25)))
    assert made.labels == (Label("class", "cat", "box", (0.0, 0.2, 1.0, 0.5)),)
    assert made.size == (100, 50)


def test_a_tool_that_counts_from_zero_means_the_edge_by_zero() -> None:
    (label,) = parse(document(box(0, 0, 50, 25))).labels
    assert label.points == (0.0, 0.0, 0.5, 0.5)


def test_parts_of_an_object_are_no_objects_and_difficult_ones_are() -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    made = parse(document(OBJECT.replace("</object>", part).replace("t>0<", "t>1<")))
    assert [label.value for label in made.labels] == ["cat"]


def test_a_file_without_objects_is_a_background() -> None:
    assert parse(document()) == Annotations(size=(100, 50))


def test_class_names_of_the_selection_name_the_numbers() -> None:
    made = parse(document(box(1, 1, 9, 9, "1"), box(1, 1, 9, 9, "cat")), "cat", "dog")
    assert [label.value for label in made.labels] == ["cat", "dog"]


def test_bytes_in_another_encoding_and_windows_line_ends_are_read() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n' + document(
        box(1, 1, 9, 9, "Käfer")
    ).replace("\n", "\r\n")
    (label,) = parse(text.encode("latin-1")).labels
    assert label.value == "Käfer"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document(box(50, 1, 50, 9)), ":4: xmin 50 is not below xmax 50"),
        (document(OBJECT, box(1, 9, 5, 3)), ":5: ymin 9 is not below ymax 3"),
        (document(box(1, 1, 120, 9)), ":4: box 1 1 120 9 in 100 x 50 pixels: the box reaches out"),
        (document(box(-8, 1, 20, 9)), ":4: box -8 1 20 9 in 100 x 50 pixels: the box reaches out"),
        (document(box("nan", 1, 20, 9)), ":4: xmin 'nan' is not a finite number"),
        (document(box(1, 1, "inf", 9)), ":4: xmax 'inf' is not a finite number"),
        (document(box("", 1, 20, 9)), ":4: xmin '' is not a number"),
        (document(box(1, 1, 9, 9, "")), ":4: the object: the class name '' is not a line"),
        (document(OBJECT.replace("name>", "called>")), ":4: <object> has 0 <name>, but needs one"),
        (document("<object><name>cat</name></object>"), ":4: <object> has 0 <bndbox>"),
        (document(OBJECT.replace("xmin", "x_min")), ":4: <bndbox> has 0 <xmin>"),
        (document(OBJECT, size=""), ":1: <annotation> has 0 <size>"),
        (
            document(OBJECT, size="<size><width>0</width><height>0</height></size>"),
            ":3: width '0' is no size of an image in pixels",
        ),
        ("<annotations/>", ":1: the root is <annotations>, not <annotation>"),
        ("", ":1: not XML: no element found"),
        ("<annotation>\n<size>\n</annotation>", ":3: not XML: mismatched tag"),
        ("{}", ":1: not XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', ": not XML: "),
        ("<annotation>" * 40, ":1: nested more than 32 deep"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_and_line(text: str | bytes, said: str) -> None:
    with pytest.raises(BadData) as caught:
        parse(text)
    assert str(caught.value).startswith(f"Annotations/a.xml{said}")


def test_a_name_that_class_names_do_not_know_is_an_error() -> None:
    with pytest.raises(BadData, match=r"a\.xml:4: the object 'cat' is neither one of the classN"):
        parse(document(OBJECT), "dog")


def bomb() -> str:
    """Ten entities of ten each: a gigabyte from a few hundred bytes."""
    lines = ['<!ENTITY e0 "0123456789">']
    lines += [f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 9)]
    return f"<!DOCTYPE annotation [{''.join(lines)}]><annotation>&e8;</annotation>"


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        '<!DOCTYPE a SYSTEM "http://169.254.169.254/a.dtd"><annotation/>',
        "<!DOCTYPE annotation><annotation/>",
        bomb(),
    ],
    ids=["a file of this machine", "a document type from the net", "a document type", "a bomb"],
)
def test_entities_and_document_types_are_refused(text: str) -> None:
    with pytest.raises(BadData) as caught:
        parse(text)
    assert str(caught.value).startswith("Annotations/a.xml: it declares a document type or entit")
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("JPEGImages/a.jpg", "Annotations/a.xml"),
        ("images/train/a.jpg", "Annotations/train/a.xml"),
        ("VOC2012/JPEGImages/a.jpg", "VOC2012/Annotations/a.xml"),
        ("images/a.jpg", "annotations/a.xml"),
        ("images/a.jpg", "images/a.xml"),
        ("a.JPG", "a.xml"),
    ],
)
def test_labels_lie_under_annotations_or_beside(tmp_path: Path, image: str, label: str) -> None:
    made = arrange(tmp_path, "voc", {image: "", label: document(OBJECT)})
    ((found,),) = labels(made).values()
    assert found.value == "cat"
    assert refused(made) == {}


def test_images_without_labels_and_labels_without_images_are_told_apart(tmp_path: Path) -> None:
    files = {
        "JPEGImages/a.jpg": "",
        "JPEGImages/b.jpg": "",
        "Annotations/a.xml": document(OBJECT),
        "Annotations/gone.xml": document(OBJECT),
        "ImageSets/Main/train.txt": "a",
        "SegmentationClass/a.png": "",
    }
    made = arrange(tmp_path, "voc", files)
    assert len(made) == len(list(made.images())) == 1
    assert refused(made) == {
        "LabelWithoutImage": ("Annotations/gone.xml",),
        "NotInAnnotations": ("JPEGImages/b.jpg", "SegmentationClass/a.png"),
        "OtherFile": ("ImageSets/Main/train.txt",),
    }
