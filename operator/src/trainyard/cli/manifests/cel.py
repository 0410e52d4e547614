"""The rules of the CRDs, which the API server evaluates, evaluated here.

They are written in the Common Expression Language (https://cel.dev), of which `cel-python` lacks
two things that Kubernetes adds and our rules use: `all` with an index, and `sum`.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache, reduce
from typing import Any

import celpy
from celpy import celtypes, evaluation

from trainyard.api.meta import Json

OLD = "oldSelf"
"""A rule that names it is about a change; of a new object there is none."""


class CannotEvaluate(ValueError):
    """A rule that does not apply to a value of this shape."""


def holds(rule: str, value: Any) -> bool:
    """Whether a rule of a CRD holds.

    Parameters
    ----------
    rule
        Of `x-kubernetes-validations`, without `oldSelf`.
    value
        What it is about, with all defaults: made by `cel_value`.

    Raises
    ------
    CannotEvaluate
        If the rule cannot be evaluated, which the API server takes for a refusal as well.
    """
    try:
        return bool(compiled(rule).evaluate({"self": value}))
    except (celpy.CELEvalError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise CannotEvaluate(f"the rule {rule} cannot be evaluated ({error})") from None


def cel_value(value: Any, schema: Json) -> Any:
    """`value` as the language sees it: of the types that its schema names."""
    if isinstance(value, dict):
        fields, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return celtypes.MapType(
            {
                celtypes.StringType(key): cel_value(inner, fields.get(key, others))
                for key, inner in value.items()
            }
        )
    if isinstance(value, list):
        items = schema.get("items", {})
        return celtypes.ListType([cel_value(item, items) for item in value])
    if schema.get("format") == "date-time" and isinstance(value, str):
        return celtypes.TimestampType(datetime.fromisoformat(value))
    if schema.get("type") == "number" and not isinstance(value, bool):
        return celtypes.DoubleType(value)
    return celpy.json_to_cel(value)


@cache
def compiled(rule: str) -> celpy.Runner:
    """A rule, ready to be evaluated."""
    environment = _environment()
    return environment.program(environment.compile(rule), functions={"sum": _sum})


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment(runner_class=_Runner)


def _sum(numbers: celtypes.ListType) -> celtypes.IntType:
    return celtypes.IntType(sum(numbers))


class _Evaluator(evaluation.Evaluator):  # type: ignore[misc]
    """Also knows `list.all(index, item, condition)`."""

    def sub_evaluator(self, ast: Any) -> evaluation.Evaluator:
        return _Evaluator(ast, activation=self.activation)

    def member_dot_arg(self, tree: Any) -> Any:
        name = tree.children[1].value
        arguments = tree.children[2].children if len(tree.children) == 3 else []
        if name != "all" or len(arguments) != 3:
            return super().member_dot_arg(tree)
        index, item = (_identifier(argument) for argument in arguments[:2])
        condition = self.sub_evaluator(arguments[2])
        found = self.visit(tree.children[0])
        return reduce(
            celtypes.logical_and,
            (
                condition.evaluate({index: celtypes.IntType(place), item: value})
                for place, value in enumerate(found)
            ),
            celtypes.BoolType(True),
        )


def _identifier(tree: Any) -> str:
    (found,) = tree.find_data("ident")
    return str(found.children[0].value)


class _Runner(celpy.InterpretedRunner):  # type: ignore[misc]
    def evaluate(self, context: Any) -> Any:
        return _Evaluator(ast=self.ast, activation=self.new_activation()).evaluate(context)
