"""What the pod may use of its machine: CPUs, the GPU, a folder; and a quiet environment."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from trainyard_trainer.faults import GPUNotVisible, InvalidRunFile

WORKDIR_VARIABLE = "TRAINYARD_WORKDIR"
CPUS_VARIABLE = "TRAINYARD_CPUS"

_CGROUP = Path("/sys/fs/cgroup")


def workdir() -> Path:
    """The folder that everything is written to; the rest of a pod's disk is read-only."""
    return Path(os.environ.get(WORKDIR_VARIABLE) or "/tmp/work")  # noqa: S108 -- an emptyDir


def emptied(folder: Path) -> Path:
    """A folder that holds nothing of an earlier try."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def cpu_count(requested: float | None = None, cgroup: Path = _CGROUP) -> int:
    """How many CPUs to use, at least 1.

    The variable TRAINYARD_CPUS (a quantity such as `2` or `500m`) decides; else the pod's limit;
    else, where the pod has a request but no limit, what was requested: a machine's other CPUs
    belong to others.

    Parameters
    ----------
    requested
        CPUs that the run asks for, possibly a fraction.
    cgroup
        Where the control groups are mounted.
    """
    available = len(os.sched_getaffinity(0))
    named = os.environ.get(CPUS_VARIABLE)
    if named:
        try:
            limit: float = cpus_of(named)
        except ValueError:
            raise InvalidRunFile(f"{CPUS_VARIABLE} is {named!r}; give 2 or 500m") from None
    else:
        limit = _quota(cgroup) or requested or available
    return max(1, min(math.ceil(limit), available))


def _quota(cgroup: Path) -> float | None:
    """The CPU limit of the container's control group, version 2 or 1; None if there is none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None  # "max" and -1 mean: no limit
    return int(quota) / int(period)


def cpu_seconds(cgroup: Path = _CGROUP) -> float:
    """CPU time that all processes of the pod used so far, in seconds.

    Where there is no control group, it is that of this process and of its children that ended.
    """
    try:
        usage = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
        return int(usage["usage_usec"]) / 1e6
    except (OSError, ValueError, KeyError):
        pass
    try:
        return int((cgroup / "cpuacct" / "cpuacct.usage").read_text()) / 1e9
    except (OSError, ValueError):
        return sum(os.times()[:4])


def cpus_of(quantity: str) -> float:
    """CPUs of a Kubernetes quantity: `2` or `500m`."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def quieten(folder: Path, threads: int) -> None:
    """Set the environment that the training libraries read when they are imported.

    They make no network call, install nothing, write below `folder` only, and their threads
    wait without spinning (spinning ones slow each other down when a pod has a part of a machine).
    Call it before torch and ultralytics are imported.
    """
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    for name in ("ULTRALYTICS_API_KEY", "WANDB_API_KEY", "COMET_API_KEY", "CLEARML_API_ACCESS_KEY"):
        os.environ.pop(name, None)
    os.environ.update(
        YOLO_OFFLINE="1",
        YOLO_AUTOINSTALL="false",
        YOLO_VERBOSE="false",
        # Its checkpoints hold tensors and layers it knows, and architectures name such: nothing
        # else is unpickled or evaluated.
        ULTRALYTICS_SAFE_LOAD="true",
        YOLO_CONFIG_DIR=str(config),
        MPLCONFIGDIR=str(config),
        MPLBACKEND="Agg",
        # Its own fonts suffice: looking for others takes seconds, and starts a program.
        MPL_IGNORE_SYSTEM_FONTS="1",
        OMP_WAIT_POLICY="PASSIVE",
        OMP_NUM_THREADS=str(threads),
        MKL_NUM_THREADS=str(threads),
        OPENBLAS_NUM_THREADS=str(threads),
        # Needed for reproducible matrix products on a GPU; read when CUDA starts.
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    )


def device(gpus: int) -> str:
    """`cpu`, or `0` for the one GPU that the run asked for.

    Raises
    ------
    GPUNotVisible
        If it asked for one and none can be seen. A run never falls back to the CPU: it would
        hold its node for days.
    """
    if gpus == 0:
        # Nothing may find a GPU by accident, even on a machine that has one.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise GPUNotVisible(
            "the run asks for a GPU and none is visible in the container: check the node's driver, "
            "its device plugin and the runtime class, or set resources.gpus: 0 to use the CPU"
        )
    return "0"
