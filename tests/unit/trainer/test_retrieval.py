"""Recall and average precision of vectors, against rankings made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainyard_trainer.engines import retrieval
from trainyard_trainer.engines.retrieval import retrieve


def on_circle(*degrees: float) -> torch.Tensor:
    """Vectors of length 1: the nearer the angles, the more alike."""
    turned = torch.tensor(degrees) * math.pi / 180
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def test_each_vector_asks_for_the_others_of_its_identity() -> None:
    # 0 finds 10 (its own) first, 10 finds 0, 30 finds 10 and 0 before 90, and 90 finds 30.
    vectors, identities = on_circle(0, 10, 30, 90), torch.tensor([0, 0, 1, 1])
    found = retrieve(vectors, identities)
    assert found.hits_at_1.tolist() == [True, True, False, True]
    assert found.precision.tolist() == pytest.approx([1, 1, 1 / 3, 1])
    assert found.metrics() == {
        "recall-at-1": 0.75,
        "recall-at-5": 1.0,
        "mAP": pytest.approx((3 + 1 / 3) / 4),
    }
    assert found.metrics(1)["recall-at-1"] == 0.5


def test_who_is_alone_asks_nothing_but_can_be_found_wrongly() -> None:
    found = retrieve(on_circle(0, 5, 40), torch.tensor([0, 7, 0]))
    assert found.identities.tolist() == [0, 0]
    assert found.hits_at_1.tolist() == [False, False]
    assert found.metrics(7) == {}


def test_recall_at_5_looks_at_five_and_no_more() -> None:
    others = [1.0, 2.0, 3.0, 4.0, 5.0]
    vectors, identities = on_circle(0, *others, 20), torch.tensor([0, 1, 2, 3, 4, 5, 0])
    assert retrieve(vectors, identities).hits_at_5.tolist()[0] is False
    assert retrieve(vectors[[0, 1, 2, 3, 4, 6]], identities[[0, 1, 2, 3, 4, 6]]).hits_at_5.all()


@pytest.mark.parametrize("identities", [[], [3], [0, 1, 2]], ids=["none", "one", "all different"])
def test_where_nobody_can_ask_everything_is_zero(identities: list[int]) -> None:
    found = retrieve(on_circle(*range(len(identities))), torch.tensor(identities).long())
    assert found.metrics() == {"recall-at-1": 0.0, "recall-at-5": 0.0, "mAP": 0.0}


def test_comparing_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(50, 8), dim=1)
    identities = torch.randint(0, 6, (50,))
    whole = retrieve(vectors, identities).metrics()
    monkeypatch.setattr(retrieval, "_ROWS", 7)
    assert retrieve(vectors, identities).metrics() == whole
