"""The network of an embedder, and what it is trained with."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from ultralytics.nn.tasks import ClassificationModel, yaml_model_load

_CHANNELS = 3
"""Of an image."""


def backbone(name: str, dimensions: int) -> dict[str, Any]:
    """The layers of a backbone, as the library keeps them of a model that it built.

    Parameters
    ----------
    name
        Of a file that the library carries.
    dimensions
        Length of the vectors.
    """
    read: dict[str, Any] = yaml_model_load(name)
    layers = {key: value for key, value in read.items() if key != "yaml_file"}
    return layers | {"nc": dimensions, "channels": _CHANNELS}


class EmbeddingNetwork(nn.Module):  # type: ignore[misc]
    """A classification backbone whose last layer projects into the space of the vectors.

    Parameters
    ----------
    layers
        Of the backbone: `backbone`.
    dimensions
        Length of the vectors.
    identities
        Number of training identities.

    Attributes
    ----------
    identities
        float [identities, dimensions]: the direction that training gave each identity, of length 1
        (zeros before).
    """

    identities: torch.Tensor

    def __init__(self, layers: dict[str, Any], dimensions: int, identities: int) -> None:
        super().__init__()
        # The library writes into what it is given.
        own = copy.deepcopy(layers)
        self.backbone = ClassificationModel(cfg=own, ch=_CHANNELS, nc=dimensions, verbose=False)
        self.norm = nn.BatchNorm1d(dimensions)
        self.register_buffer("identities", torch.zeros(identities, dimensions))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The vectors.

        Parameters
        ----------
        images
            float [B, 3, H, W], as the input rule says.

        Returns
        -------
        torch.Tensor
            float [B, dimensions], each of length 1.
        """
        answer = self.backbone(images)
        # When it is not trained, the library's head answers (probabilities, logits).
        projected = answer[1] if isinstance(answer, (list, tuple)) else answer
        return functional.normalize(self.norm(projected), dim=1)


class Compared(nn.Module):  # type: ignore[misc]
    """A network in use: its vectors, and how near they are to the training identities.

    Parameters
    ----------
    network
        Trained.
    """

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors float [B, dimensions], and cosines float [B, identities]."""
        vectors = self.network(images)
        return vectors, vectors @ self.network.identities.T


class ArcFace(nn.Module):  # type: ignore[misc]
    """Additive angular margin loss (Deng et al., CVPR 2019, arXiv:1801.07698).

    Vectors of one identity are drawn to its direction; the angle to it counts as larger than it is
    by a margin, so that identities end up apart.

    Parameters
    ----------
    identities, dimensions
        Number of identities, and length of the vectors.
    margin
        In radians.
    scale
        What cosines are multiplied with before the softmax.
    """

    def __init__(
        self, identities: int, dimensions: int, margin: float = 0.3, scale: float = 16.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(identities, dimensions))
        nn.init.xavier_uniform_(self.weight)
        self._margin, self._scale = margin, scale

    def directions(self) -> torch.Tensor:
        """Float [identities, dimensions], each of length 1."""
        return functional.normalize(self.weight, dim=1)

    def forward(self, vectors: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The mean loss.

        Parameters
        ----------
        vectors
            float [B, dimensions], of length 1.
        truth
            int64 [B], the identities.
        """
        # In full precision: an angle near 0 is lost in 16 bits.
        cosine = functional.linear(vectors.float(), self.directions())
        limit = 1 - 1e-6
        angle = cosine.clamp(-limit, limit).acos()
        # Beyond pi the cosine would rise again.
        moved = torch.cos((angle + self._margin).clamp(max=math.pi))
        own = functional.one_hot(truth, cosine.shape[1]).bool()
        return functional.cross_entropy(self._scale * torch.where(own, moved, cosine), truth)
