"""Prometheus' own tool, which evaluates rules: from Debian, unpacked into the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from trainyard_local.images.packages import unpack
from trainyard_local.locks import exclusive
from trainyard_local.paths import cache


@pytest.fixture(scope="session")
def promtool() -> Path:
    own = shutil.which("promtool")
    if own is not None:
        return Path(own)
    place = cache()
    program = place.packages / "promtool"
    with exclusive(place.locks / "debian.lock", print):
        if not program.is_file():
            unpacked = place.packages / "promtool.unfinished"
            unpack(["prometheus"], unpacked)
            (unpacked / "usr" / "bin" / "promtool").rename(program)
            shutil.rmtree(unpacked)
    return program
