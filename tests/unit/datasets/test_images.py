import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.unit.labelled import image_bytes
from trainyard.datasets.errors import BadData
from trainyard.datasets.images import (
    MAX_PIXELS,
    ImageFacts,
    RefusedImage,
    _Decoding,
    inspect,
    plain_image,
)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    return saved(Image.new("RGB", (40, 30), (200, 10, 10)), kind, exif=exif)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 50,000 x 50,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "extension"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp")],
)
def test_the_formats_are_told_by_content(kind: str, extension: str) -> None:
    facts = inspect(image_bytes(kind=kind), "misnamed.txt")
    assert (facts.extension, facts.width, facts.height) == (extension, 40, 30)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_harmless_modes_are_read(mode: str) -> None:
    assert inspect(image_bytes(kind="JPEG", mode=mode), "a.jpg").width == 40


def test_sixteen_bits_are_read() -> None:
    image = Image.fromarray(np.full((30, 40), 40_000, np.uint16))
    facts = inspect(saved(image, "PNG"), "a.png")
    assert facts == ImageFacts("png", 40, 30, look=bytes(32))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_sides_are_those_after_the_exif_orientation(kind: str) -> None:
    facts = inspect(turned(kind), "a.jpg")
    assert (facts.width, facts.height) == (30, 40)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Empty"),
        (b"<html>404 not found</html>", "NotAnImage"),
        (b"GIF89a" + bytes(100), "NotAnImage"),
        (bytes(500), "NotAnImage"),
        (image_bytes(kind="PNG")[:-400], "Corrupt"),
        (image_bytes(kind="JPEG", size=(200, 200))[:-2000], "Corrupt"),
        (image_bytes(kind="TIFF")[:-2000], "Corrupt"),
    ],
    ids=["empty", "HTML", "GIF", "zeros", "PNG cut off", "JPEG cut off", "TIFF cut off"],
)
def test_what_cannot_be_decoded_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedImage, match=f"^{reason}$"):
        inspect(data, "a.png")


def test_a_jpeg_with_more_pictures_behind_it_is_a_jpeg() -> None:
    # As phones write them: pillow calls it MPO.
    first, preview = (Image.new("RGB", size, (200, 10, 10)) for size in ((40, 30), (20, 15)))
    data = saved(first, "MPO", save_all=True, append_images=[preview])
    facts = inspect(data, "a.jpg")
    assert (facts.extension, facts.width, facts.height) == ("jpg", 40, 30)
    assert facts.look == inspect(saved(first, "JPEG"), "a.jpg").look
    assert plain_image(data) == (data, "jpg")


def test_an_error_that_pillow_does_not_expect_makes_a_corrupt_image_too() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    data = saved(Image.new("RGB", (40, 30)), "JPEG", exif=exif)
    # The density, a fraction, is marked as a text: a TypeError when the image is turned.
    with pytest.raises(RefusedImage, match=r"^Corrupt$"):
        inspect(data.replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x02"), "a.jpg")


def test_a_decompression_bomb_is_named_and_never_decoded() -> None:
    with pytest.raises(BadData, match=r"s3://b/x\.png claims 50000 x 50000 pixels"):
        inspect(bomb(), "s3://b/x.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_usual_images_are_trained_on_byte_for_byte(kind: str) -> None:
    data = image_bytes(kind=kind)
    assert plain_image(data)[0] == data


def test_an_image_with_orientation_is_written_upright() -> None:
    data, extension = plain_image(turned())
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, extension, image.mode) == ((30, 40), "png", "RGB")
        assert image.getexif().get(0x0112) is None


@pytest.mark.parametrize("value", [0, 32_768, 65_535])
def test_sixteen_bits_are_scaled_to_eight(value: int) -> None:
    data, _ = plain_image(saved(Image.fromarray(np.full((4, 4), value, np.uint16)), "PNG"))
    with Image.open(io.BytesIO(data)) as image:
        assert image.getpixel((0, 0)) == (value >> 8,) * 3


def scene() -> Image.Image:
    """Soft blobs, as a photograph has them."""
    generator = np.random.default_rng(3)
    coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
    return coarse.resize((320, 240), Image.Resampling.BICUBIC)


def differing_bits(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


@pytest.mark.parametrize(
    "same",
    [
        saved(scene(), "JPEG", quality=60),
        saved(scene().resize((160, 120)), "PNG"),
        saved(scene().point(lambda value: min(255, value + 6)), "PNG"),
        saved(scene().crop((2, 2, 318, 238)), "PNG"),
    ],
    ids=["JPEG", "half the size", "brighter", "two pixels cut off"],
)
def test_images_that_look_the_same_have_nearly_the_same_look(same: bytes) -> None:
    first, second = inspect(saved(scene(), "PNG"), "a"), inspect(same, "b")
    assert len(first.look) == 32
    assert differing_bits(first.look, second.look) <= 8


@pytest.mark.parametrize("side", [40, 128, 200, 320, 640, 1200])
def test_a_jpeg_of_any_size_looks_like_what_it_was_made_from(side: int) -> None:
    """Although a large one is decoded at a fraction of its size."""
    pixels = np.random.default_rng(5).integers(0, 256, (24, 24, 3), np.uint8)
    detailed = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    jpeg, png = saved(detailed, "JPEG", quality=80), saved(detailed, "PNG")
    assert differing_bits(inspect(jpeg, "a").look, inspect(png, "b").look) <= 8


def test_other_images_have_other_looks() -> None:
    first = inspect(saved(scene(), "PNG"), "a")
    second = inspect(saved(scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"), "b")
    assert differing_bits(first.look, second.look) > 60


def test_the_look_is_that_of_the_upright_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned_data = saved(scene().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert inspect(turned_data, "a").look == inspect(saved(scene(), "PNG"), "b").look


@pytest.mark.parametrize("pixels", [np.float32, np.int32])
def test_pixels_of_32_bits_are_refused_for_nothing_says_what_is_white(pixels: type) -> None:
    image = Image.fromarray(np.full((4, 4), 0.5, np.float64).astype(pixels))
    with pytest.raises(RefusedImage, match=r"^WidePixels$"):
        inspect(saved(image, "TIFF"), "a.tif")


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), {"kind": "JPEG"}),
        (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), {"kind": "TIFF"}),
        (Image.new("RGBA", (4, 4), (255, 255, 255, 0)), {"kind": "PNG"}),
        (Image.new("LA", (4, 4), (255, 0)), {"kind": "PNG"}),
        (Image.new("1", (4, 4), 1), {"kind": "PNG"}),
        (Image.new("RGB", (4, 4), (255, 255, 255)).quantize(2), {"kind": "PNG"}),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), {"kind": "TIFF"}),
    ],
    ids=["CMYK JPEG", "CMYK TIFF", "RGBA", "grey and alpha", "1 bit", "palette", "16-bit TIFF"],
)
def test_white_is_white_whatever_the_mode(image: Image.Image, options: dict[str, str]) -> None:
    data, extension = plain_image(saved(image, **options))
    with Image.open(io.BytesIO(data)) as plain:
        assert (extension, plain.mode, plain.getpixel((1, 1))) == ("png", "RGB", (255,) * 3)


def test_images_are_decoded_beside_each_other_while_there_is_room_and_a_huge_one_alone() -> None:
    decoding = _Decoding()
    order = []

    def decode(name: str, pixels: int) -> None:
        with decoding.of(pixels):
            order.append(name)

    with decoding.of(20_000_000):
        huge = threading.Thread(target=decode, args=("huge", MAX_PIXELS))
        huge.start()
        decode("small", 1000)
        huge.join(0.05)
        assert order == ["small"]
    huge.join(10)
    assert order == ["small", "huge"]
