"""Going on from the weights of an earlier model: which of its tensors a new one starts with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainyard.api.capability import Output
from trainyard_trainer.engines.base import Base

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class Taken:
    """What was taken over.

    Attributes
    ----------
    tensors, of
        Number of tensors taken over, at least in part, and of all the new model has.
    classes
        Those that the earlier model knows, if what it knows of them could be taken over.
    """

    tensors: int
    of: int
    classes: tuple[Output, ...]


def class_rows(build: Callable[[int], torch.nn.Module]) -> frozenset[str]:
    """Names of the tensors that have a row for each class, in the order of the classes.

    Parameters
    ----------
    build
        Makes a model of the architecture for a number of classes.
    """
    one, two = (build(classes).state_dict() for classes in (1, 2))
    return frozenset(name for name, tensor in one.items() if tensor.shape != two[name].shape)


def take_over(
    model: torch.nn.Module, base: Base, classes: tuple[Output, ...], rows: frozenset[str]
) -> Taken:
    """Have a new model start with what an earlier one of its architecture has learnt.

    Tensors of the same shape are taken over; of those with a row for each class, the rows of the
    classes that both have, by attribute and value. All else stays as it is: rows of new classes
    are as random as in a training from scratch.

    Parameters
    ----------
    model
        The new one, changed in place.
    base
        The earlier one.
    classes
        Of the new one.
    rows
        As `class_rows` says.
    """
    before = {(known.attribute, known.value): known.position for known in base.classes}
    shared = [output for output in classes if (output.attribute, output.value) in before]
    new = [output.position for output in shared]
    old = [before[output.attribute, output.value] for output in shared]
    state, taken, learnt = model.state_dict(), 0, bool(rows)
    for name, tensor in state.items():
        given = base.state.get(name)
        if given is None:
            learnt &= name not in rows
        elif name not in rows and given.shape == tensor.shape:
            tensor.copy_(given)
            taken += 1
        elif name in rows and given.shape[1:] == tensor.shape[1:] and shared:
            tensor[new] = given[old].to(tensor)
            taken += 1
        else:
            # With many classes some architectures have wider layers before the rows.
            learnt = False
    _log.info(
        "going on from %s: %d of %d tensors and %d of %d classes are taken over",
        base.origin,
        taken,
        len(state),
        len(shared) if learnt else 0,
        len(classes),
    )
    return Taken(taken, len(state), tuple(shared) if learnt else ())
