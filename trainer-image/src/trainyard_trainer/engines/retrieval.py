"""How well vectors find others of their identity."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ROWS = 512
"""Queries compared at a time: [_ROWS, N] similarities are in memory, never [N, N]."""


@dataclass(frozen=True)
class Retrieval:
    """Each vector asks for the others of its identity among all others of the split.

    Attributes
    ----------
    hits_at_1, hits_at_5
        bool [Q]: one of the 1 (5) nearest is of the query's identity.
    precision
        float64 [Q]: average precision of the whole ranking.
    identities
        int64 [Q]: of the queries. Vectors without a second one of their identity ask nothing, for
        there is nothing to find; they can still be found, wrongly.
    """

    hits_at_1: torch.Tensor
    hits_at_5: torch.Tensor
    precision: torch.Tensor
    identities: torch.Tensor

    def metrics(self, identity: int | None = None) -> dict[str, float]:
        """Means over the queries, of one identity or of all.

        Where nobody asked, an identity has none, and all together 0.
        """
        of_it = (
            torch.ones_like(self.identities, dtype=torch.bool)
            if identity is None
            else self.identities == identity
        )
        if not bool(of_it.any()):
            if identity is not None:
                return {}
            return {"recall-at-1": 0.0, "recall-at-5": 0.0, "mAP": 0.0}
        return {
            "recall-at-1": float(self.hits_at_1[of_it].double().mean()),
            "recall-at-5": float(self.hits_at_5[of_it].double().mean()),
            "mAP": float(self.precision[of_it].mean()),
        }


def retrieve(vectors: torch.Tensor, identities: torch.Tensor) -> Retrieval:
    """Rank all others by cosine similarity, for each vector that has others of its identity.

    Parameters
    ----------
    vectors
        float32 [N, D], of length 1.
    identities
        int64 [N].
    """
    asking = torch.nonzero(torch.bincount(identities)[identities] > 1).flatten()
    if not len(asking):
        none = torch.zeros(0, dtype=torch.bool)
        return Retrieval(none, none, none.double(), identities[:0])
    first, fifth, precision = [], [], []
    for rows in asking.split(_ROWS):
        similarity = vectors[rows] @ vectors.T
        # Nobody finds itself.
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        order = similarity.argsort(dim=1, descending=True, stable=True)[:, :-1]
        right = identities[order] == identities[rows, None]
        first.append(right[:, 0])
        fifth.append(right[:, :5].any(dim=1))
        place = torch.arange(1, right.shape[1] + 1)
        at_each = right.cumsum(dim=1).double() / place
        precision.append((at_each * right).sum(dim=1) / right.sum(dim=1))
    return Retrieval(torch.cat(first), torch.cat(fifth), torch.cat(precision), identities[asking])
