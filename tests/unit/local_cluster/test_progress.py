"""Times as people read them."""

import pytest

from trainyard_local.progress import duration


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s")])
def test_duration_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
