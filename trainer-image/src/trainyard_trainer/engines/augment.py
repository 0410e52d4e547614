"""How train images are varied."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from trainyard.api.template import Augmentation, AugmentationPreset, Engine


@dataclass(frozen=True)
class Variation:
    """Resolved augmentation; 0 everywhere leaves images as they are.

    Attributes
    ----------
    rotation_degrees
        Largest angle, either way.
    exposure
        Brightness is scaled by a factor in 1 - exposure .. 1 + exposure.
    noise
        Largest standard deviation of the noise, where 1 is the full range of a pixel.
    flip, vertical_flip
        Probability of swapping left and right, and top and bottom.
    scale
        Size is scaled by a factor in 1 - scale .. 1 + scale.
    mosaic
        Probability of joining four images (detectors).
    """

    rotation_degrees: float = 0.0
    exposure: float = 0.0
    noise: float = 0.0
    flip: float = 0.0
    vertical_flip: float = 0.0
    scale: float = 0.0
    mosaic: float = 0.0


PRESETS = {
    AugmentationPreset.NONE: Variation(),
    AugmentationPreset.ROTATIONS_EXPOSURE_NOISE: Variation(
        rotation_degrees=15.0, exposure=0.4, noise=0.02
    ),
    AugmentationPreset.STRONG: Variation(
        rotation_degrees=20.0, exposure=0.5, noise=0.04, flip=0.5, scale=0.3, mosaic=1.0
    ),
    AugmentationPreset.ANY_ORIENTATION: Variation(
        rotation_degrees=180.0, exposure=0.4, noise=0.02, flip=0.5, vertical_flip=0.5
    ),
}
_BOX_DEGREES = 20.0
"""How far a preset turns boxes at most. What an upright box surrounds is not known, so that a
turned one becomes the upright box around its corners: 1.3 times as long at 20 degrees, 1.4 at
45."""


def resolve(augmentation: Augmentation, engine: Engine) -> Variation:
    """The preset's values for an engine, except where the template gives its own."""
    preset = PRESETS[augmentation.preset]
    if engine is Engine.YOLO_DET:
        preset = replace(preset, rotation_degrees=min(preset.rotation_degrees, _BOX_DEGREES))
    own = augmentation.model_dump(exclude={"preset"}, exclude_none=True)
    return replace(preset, **own)


def vary_pixels(images: torch.Tensor, exposure: float, noise: float) -> torch.Tensor:
    """Scale the brightness of each image and add noise to it, each by its own random amount.

    The training library has no noise, so this is done on the batch, on the training device.

    Parameters
    ----------
    images
        float [B, 3, H, W] in 0..1.
    exposure, noise
        As in `Variation`.

    Returns
    -------
    torch.Tensor
        Of the same shape, in 0..1.
    """
    count, device = images.shape[0], images.device
    if exposure > 0:
        factor = 1 + exposure * (2 * torch.rand(count, 1, 1, 1, device=device) - 1)
        images = images * factor
    if noise > 0:
        deviation = noise * torch.rand(count, 1, 1, 1, device=device)
        images = images + deviation * torch.randn(images.shape, device=device)
    return images.clamp(0, 1) if exposure > 0 or noise > 0 else images
