from collections.abc import Sequence
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as reference

from trainyard.datasets.formats.outlines import BadMask, Ring, joined, mask_of, outline, parts_of

Mask = npt.NDArray[np.bool_]


def blobs(seed: int, side: int = 90) -> Mask:
    """A mask of a few irregular blobs, as objects have them."""
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return cv2.GaussianBlur(noise, (0, 0), 5) > 0.06


def packed(mask: Mask) -> str:
    """COCO's text, as its authors write it."""
    return str(reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode())


def runs(mask: Mask) -> list[int]:
    column_by_column = mask.T.ravel().tolist()
    found = [len(list(same)) for _, same in groupby(column_by_column)]
    return [0, *found] if column_by_column[0] else found


def filled(rings: Sequence[Ring], shape: tuple[int, int], fine: int = 8) -> Mask:
    """Pixels whose centre lies in one of the rings."""
    canvas = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    for ring in rings:
        # OpenCV means the centre of a pixel by a whole number.
        points = np.round(ring * fine - 0.5).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1)
    return canvas[fine // 2 :: fine, fine // 2 :: fine] > 0


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_unpacked_as_the_authors_of_coco_pack_them(seed: int) -> None:
    mask = blobs(seed)[:, :70]
    assert (mask_of(packed(mask), 70, 90) == mask).all()
    assert (mask_of(runs(mask), 70, 90) == mask).all()


def test_long_runs_are_unpacked() -> None:
    mask = np.zeros((3000, 2000), np.bool_)
    mask[100:2900, 1000:] = True
    assert (mask_of(packed(mask), 2000, 3000) == mask).all()


def test_the_outline_of_a_rectangle_is_its_corners() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:10, 7:9] = True
    (ring,) = parts_of(mask)
    assert {tuple(point) for point in ring.tolist()} == {(7, 5), (9, 5), (9, 10), (7, 10)}


def test_one_pixel_has_four_corners_and_a_full_mask_those_of_the_image() -> None:
    for height, width in ((1, 1), (4, 7)):
        (ring,) = parts_of(np.ones((height, width), np.bool_))
        corners = {(0, 0), (width, 0), (width, height), (0, height)}
        assert {tuple(point) for point in ring.tolist()} == corners


@pytest.mark.parametrize("seed", range(8))
def test_an_outline_is_nowhere_further_than_half_a_pixel_from_the_edge_of_its_mask(
    seed: int,
) -> None:
    mask = blobs(seed)
    solid = filled(parts_of(mask), mask.shape)
    # No pixel of the mask is lost, and what is won are holes: the centre of a pixel is half a pixel
    # from its edge.
    assert not (mask & ~solid).any()
    assert not (solid & _open(mask)).any()


def _open(mask: Mask) -> Mask:
    """Background that is connected to the border of the image."""
    padded = np.pad((~mask).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return padded[1:-1, 1:-1] == 2


@pytest.mark.parametrize("seed", range(8))
def test_the_ring_of_several_parts_fills_the_same_pixels(seed: int) -> None:
    mask = blobs(seed)
    parts = parts_of(mask)
    assert len(parts) > 1
    ring = joined(parts)
    alone, together = filled(parts, mask.shape), filled([ring], mask.shape)
    # A bridge has no width; drawn, it has one of the drawing's own.
    assert (alone ^ together).mean() < 0.01
    assert len(ring) == sum(map(len, parts)) + 2 * (len(parts) - 1)


def test_the_order_of_parts_of_different_sizes_does_not_matter() -> None:
    parts = [part for part in parts_of(blobs(3)) if len(part) > 4]
    assert (joined(parts) == joined(parts[::-1])).all()


def test_an_empty_mask_has_no_outline() -> None:
    assert outline([12], 4, 3) is None


@pytest.mark.parametrize(
    "counts",
    ["", "zzzz", "~~~~", "é", "\x00\x01", "o" * 50, packed(blobs(1))[:-3], [1] * 5, [3, -5, 18]],
)
def test_runs_that_do_not_fill_the_image_are_refused(counts: str | list[int]) -> None:
    # pycocotools gives memory that nobody wrote to for some of these.
    with pytest.raises(BadMask):
        mask_of(counts, 90, 90)
