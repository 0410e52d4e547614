"""What an image file is, found out without trusting it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from trainyard_trainer.faults import BadData

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
    """

    extension: str
    width: int
    height: int


class RefusedImage(Exception):
    """The file is left out; the text is the one-word reason."""


def inspect(data: bytes, name: str) -> ImageFacts:
    """Check that `data` is an image that can be decoded whole.

    Raises
    ------
    RefusedImage
        `Empty`, `TooLarge`, `NotAnImage` (in none of the formats) or `Corrupt`.
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
                if width * height > MAX_PIXELS:
                    raise BadData(
                        f"{name} claims {width} x {height} pixels, more than the {MAX_PIXELS} "
                        "allowed: remove it or cut it into tiles"
                    )
                kind = image.format or ""
                turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _SWAPPED
                # Decoding a JPEG at an eighth of its size finds a truncated file all the same.
                image.draft(None, (max(1, width // 8), max(1, height // 8)))
                image.load()
    except (UnidentifiedImageError, ModuleNotFoundError):
        # Where ultralytics is loaded, Image.open is one of its own that asks for a HEIF reader.
        raise RefusedImage("NotAnImage") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError):
        raise RefusedImage("Corrupt") from None
    if turned:
        width, height = height, width
    return ImageFacts(FORMATS[kind], width, height)
