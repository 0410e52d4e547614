"""What an image file is, found out without trusting it."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainyard.datasets.errors import BadData

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp"}
"""Formats that are read, by pillow's name, with the extension that we store them under."""

EXTENSIONS = frozenset({"jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp"})
"""Extensions that make a file an image candidate; the content decides the format."""

MAX_BYTES = 60 << 20
"""Largest image file: with its header it fits one shard."""

MAX_PIXELS = 178_956_970
"""Most pixels of an image; more is taken for a decompression bomb (pillow's own limit)."""

_EXIF_ORIENTATION = 0x0112
_SWAPPED = frozenset({5, 6, 7, 8})
_AS_IT_IS = frozenset({"JPEG", "PNG", "BMP", "WEBP"})
# A JPEG with more pictures behind it (a preview, the depth), as many phones write them.
_SEVERAL_JPEGS = "MPO"
_LOOK_SIDE = 16
# Least pixels a side of what the look is taken from: 16 for each place. With 8 already, a fifth of
# the JPEGs of 640 pixels is no longer seen to be the PNG that they were made from.
_DRAFT_SIDE = 16 * (_LOOK_SIDE + 1)
# Brightness (of 255) that a pixel must be above its neighbour: below it is noise.
_LOOK_STEP = 2

# Whole numbers and fractions of 32 bits.
_WIDE = frozenset({"I", "F"})
# Pixels that all threads together may be decoding, unless it is one image.
_AT_ONCE = 64_000_000

# The limit is checked here, with the image's name; pillow's own would warn at half of it.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageFacts:
    """What a decodable image is.

    Attributes
    ----------
    extension
        By content, without a dot.
    width, height
        Pixels, after the EXIF orientation was applied.
    look
        32 bytes that are nearly the same for images that look nearly the same, see `look_of`.
    """

    extension: str
    width: int
    height: int
    look: bytes


class _Decoding:
    """Keeps the images that threads decode at the same time to a number of pixels."""

    def __init__(self) -> None:
        self._pixels = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image, and have it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pixels or self._pixels + pixels <= _AT_ONCE)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


_decoding = _Decoding()


class RefusedImage(Exception):
    """The file is left out; the text is the one-word reason."""


def inspect(data: bytes, name: str) -> ImageFacts:
    """Check that `data` is an image that can be decoded whole.

    Raises
    ------
    RefusedImage
        `Empty`, `TooLarge`, `NotAnImage` (in none of the formats), `WidePixels` (32 bits each, of
        which nothing says what is black and what is white) or `Corrupt`.
    BadData
        If decoding it would take more memory than any image should.
    """
    if not data:
        raise RefusedImage("Empty")
    if len(data) > MAX_BYTES:
        raise RefusedImage("TooLarge")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
                width, height = image.size
                _check_pixels(image, name)
                kind = _kind_of(image)
                turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _SWAPPED
                # Decoding a JPEG at down to an eighth of its size finds a truncated file all the
                # same; any smaller, and it would look unlike the same image in another format.
                image.draft(None, (max(_DRAFT_SIDE, width // 8), max(_DRAFT_SIDE, height // 8)))
                with _decoding.of(image.width * image.height):
                    image.load()
                    look = look_of(image)
    except (RefusedImage, BadData, MemoryError):
        raise
    except (UnidentifiedImageError, ModuleNotFoundError):
        # Where ultralytics is loaded, Image.open is one of its own that asks for a HEIF reader.
        raise RefusedImage("NotAnImage") from None
    except Exception:  # noqa: BLE001 -- pillow has no common type; a TypeError was seen
        raise RefusedImage("Corrupt") from None
    if turned:
        width, height = height, width
    return ImageFacts(FORMATS[kind], width, height, look)


def _check_pixels(image: Image.Image, name: str) -> None:
    """Whether the header of an image says that it may be decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise BadData(
            f"{name} claims {image.width} x {image.height} pixels, more than the {MAX_PIXELS} "
            "allowed: remove it or cut it into tiles"
        )
    if image.mode in _WIDE:
        raise RefusedImage("WidePixels")


def look_of(image: Image.Image) -> bytes:
    """The difference hash of an image: one bit for each of 16 x 16 places, 32 bytes.

    A bit says that a place is brighter than the one to its right, on the upright image in grey
    and 17 x 16 pixels. Re-encoding, scaling and small changes of brightness flip few bits. After
    N. Krawetz, "Kind of Like That" (2013), with a step so that flat areas give zeros.
    """
    grey = _as_grey(ImageOps.exif_transpose(image))
    small = grey.resize((_LOOK_SIDE + 1, _LOOK_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.int16)
    return np.packbits(pixels[:, :-1] > pixels[:, 1:] + _LOOK_STEP).tobytes()


def plain_image(data: bytes) -> tuple[bytes, str]:
    """The image as every library reads it alike, and its extension.

    Most images stay byte for byte what they are. Those whose reading differs from library to
    library (EXIF orientation, CMYK, 16 bits, palettes, transparency, TIFF) are written anew as
    an upright PNG in RGB.
    """
    with Image.open(io.BytesIO(data)) as image:
        upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
        kind = _kind_of(image)
        if upright and kind in _AS_IT_IS and image.mode in {"RGB", "L"}:
            return data, FORMATS[kind]
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I"):
            turned = _as_grey(turned)
        buffer = io.BytesIO()
        turned.convert("RGB").save(buffer, "PNG")
        return buffer.getvalue(), "png"


def _kind_of(image: Image.Image) -> str:
    """The format, one of `FORMATS`."""
    return "JPEG" if image.format == _SEVERAL_JPEGS else image.format or ""


def _as_grey(image: Image.Image) -> Image.Image:
    """In 8-bit grey."""
    if image.mode.startswith("I"):
        # 16 bits: pillow would cut off instead of scaling.
        image = image.convert("I").point(lambda value: value * (1 / 256))
    return image.convert("L")
