"""An API server in memory for each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.cluster.fake_api import FakeApi, serving
from trainyard.cluster.api_server import ApiServer


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
def api(fake: FakeApi) -> Iterator[ApiServer]:
    with serving(fake) as made:
        yield made
