"""Tables and ages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.builders import NOW
from trainyard.cli.output import age, print_table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (9 * 86400, "9d"),
    ],
)
def test_an_age_is_spelt_as_kubectl_does(seconds: int, shown: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_an_unknown_age_is_empty() -> None:
    assert age(None, NOW) == ""


def test_a_table_for_a_program_is_never_folded_and_knows_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "x" * 300
    print_table(("NAME", "METRIC"), [(name, "[red]0.9[/red]"), ("b", "")])
    assert capsys.readouterr().out.splitlines() == [
        f"NAME{' ' * 299}METRIC",
        f"{name}   [red]0.9[/red]",
        "b",
    ]
