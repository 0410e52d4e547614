"""A full disk and too little shared memory are told as such, whatever a library says of them.

Each text is that of the library on a real full disk, a tmpfs that only its process sees.
"""

from __future__ import annotations

import errno
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import torch

from trainyard_trainer import saving
from trainyard_trainer.exhausted import disk_is_full, shared_memory_is_full


def test_what_says_nothing_of_it_is_not_a_full_disk() -> None:
    for error in (
        RuntimeError("CUDA error"),
        OSError(errno.EACCES, "denied"),
        sqlite3.OperationalError("no such table"),
    ):
        assert not disk_is_full(error)
        assert not shared_memory_is_full(error)


def test_it_is_found_behind_what_was_made_of_it() -> None:
    made = RuntimeError("a worker failed")
    made.__context__ = OSError(errno.ENOSPC, "full")
    assert disk_is_full(made)
    made.__suppress_context__ = True
    assert not disk_is_full(made), "it was said to have nothing to do with it"
    made.__cause__ = OSError(errno.EDQUOT, "full")
    assert disk_is_full(made)


def test_what_is_saved_by_way_of_memory_is_what_is_read(tmp_path: Path) -> None:
    content = {"a": torch.arange(5), "b": "text"}
    saving.save(content, tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert torch.equal(found["a"], content["a"])
    script = torch.jit.script(torch.nn.Linear(2, 1))
    saving.save_script(script, tmp_path / "a.torchscript")
    again = torch.jit.load(tmp_path / "a.torchscript")
    assert torch.equal(again(torch.ones(1, 2)), script(torch.ones(1, 2)))


PROGRAM = """
import pickle, sys
from pathlib import Path
import numpy, torch
from trainyard_trainer import saving

full = Path(sys.argv[1])

class Large(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.zeros(3, 640, 640)

def load():
    for _ in torch.utils.data.DataLoader(Large(), batch_size=2, num_workers=1):
        pass

tensor = torch.zeros(1_000_000)
works = {
    "ours": lambda: saving.save(tensor, full / "a"),
    "a script": lambda: saving.save_script(
        torch.jit.script(torch.nn.Linear(1000, 1000)), full / "a"
    ),
    "torch's own": lambda: torch.save(tensor, full / "a"),
    "numpy": lambda: numpy.save(full / "a.npy", numpy.zeros(10_000_000)),
    "a loader": load,
}
said = {}
for name, work in works.items():
    for old in full.iterdir():
        old.unlink()
    try:
        work()
    except (OSError, RuntimeError) as error:
        said[name] = (type(error).__name__, str(error), getattr(error, "errno", None))
sys.stdout.buffer.write(pickle.dumps(said))
"""


def test_the_libraries_words_for_a_full_disk_are_known(tmp_path: Path) -> None:
    mounts = f"mount -t tmpfs -o size=1m none {tmp_path}; mount -t tmpfs -o size=1m none /dev/shm"
    done = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", f'{mounts}; exec "$@"', "sh"),
            *(sys.executable, "-c", PROGRAM, tmp_path),
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = pickle.loads(done.stdout)
    assert set(said) == {"ours", "a script", "torch's own", "numpy", "a loader"}
    for name, (kind, text, number) in said.items():
        error = OSError(number, text) if kind == "OSError" and number else RuntimeError(text)
        assert shared_memory_is_full(error) is (name == "a loader"), (name, text)
        assert disk_is_full(error), (name, text)
