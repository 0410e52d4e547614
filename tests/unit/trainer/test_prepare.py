"""What an engine is given: the same files, wherever the shards come from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.unit.trainer.pods import Bench
from trainyard.api.capability import Output
from trainyard.api.run import RunSplits
from trainyard.api.template import Engine
from trainyard.datasets.node_cache import NodeCache
from trainyard.stores import Store
from trainyard_trainer.engines import engine_for
from trainyard_trainer.prepare import Prepared, prepare

OUTPUTS = tuple(
    Output(attribute="class", value=value, position=position)
    for position, value in enumerate(("disc", "square"))
)


def laid_out(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "data.yaml" not in path.name
    }


@pytest.mark.parametrize("engine", ["yolo-cls", "yolo-det"])
def test_a_run_with_a_cache_lays_out_the_same_files_as_one_without(
    engine: str, store: Store, bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = RunSplits.model_validate(
        {split: [bench.snapshots[engine, split]] for split in ("train", "dev", "test")}
    )
    (tmp_path / "cache").mkdir()

    seen: list[tuple[int, int]] = []

    def prepared(name: str, cache: NodeCache | None) -> tuple[Prepared, dict[str, bytes]]:
        seen.clear()
        made = prepare(
            store,
            splits,
            OUTPUTS,
            engine_for(Engine(engine)),
            tmp_path / name,
            lambda done, total: seen.append((done, total)),
            cache,
        )
        return made, laid_out(tmp_path / name)

    without, plain = prepared("without", None)
    total = sum(without.layout.counts.values())
    assert seen == [(done, total) for done in range(1, total + 1)]
    caplog.set_level(logging.INFO, "trainyard")
    _, cold = prepared("cold", NodeCache(tmp_path / "cache", 1 << 30))
    warm, again = prepared("warm", NodeCache(tmp_path / "cache", 1 << 30))
    assert "6 files, 6 of them from the node's cache" in caplog.text
    assert plain == cold == again
    assert len([name for name in plain if name.endswith(".png")]) == total
    assert warm.layout.counts == without.layout.counts
    assert [(held.name, held.labels) for held in warm.held_out] == [
        (held.name, held.labels) for held in without.held_out
    ]
    assert not list(tmp_path.rglob("*.tar"))
