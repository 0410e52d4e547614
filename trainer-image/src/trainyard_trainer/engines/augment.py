"""How train images are varied."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainyard.api.template import Augmentation, AugmentationPreset


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
    flip
        Probability of a horizontal flip.
    scale
        Size is scaled by a factor in 1 - scale .. 1 + scale.
    mosaic
        Probability of joining four images (detectors).
    """

    rotation_degrees: float = 0.0
    exposure: float = 0.0
    noise: float = 0.0
    flip: float = 0.0
    scale: float = 0.0
    mosaic: float = 0.0


PRESETS = {
    AugmentationPreset.NONE: Variation(),
    AugmentationPreset.ROTATIONS_EXPOSURE_NOISE: Variation(
        rotation_degrees=15.0, exposure=0.4, noise=0.02
    ),
}


def resolve(augmentation: Augmentation) -> Variation:
    """The preset's values, except where the template gives its own."""
    preset = PRESETS[augmentation.preset]

    def pick(own: float | None, otherwise: float) -> float:
        return otherwise if own is None else own

    return Variation(
        rotation_degrees=pick(augmentation.rotation_degrees, preset.rotation_degrees),
        exposure=pick(augmentation.exposure, preset.exposure),
        noise=pick(augmentation.noise, preset.noise),
        flip=pick(augmentation.flip, preset.flip),
        scale=pick(augmentation.scale, preset.scale),
        mosaic=pick(augmentation.mosaic, preset.mosaic),
    )


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
