"""What is built from which Go module, and how. The versions stand in the go.mod files only."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.paths import GO_MODULES


@dataclass(frozen=True)
class Binary:
    """One program of a Go module.

    Attributes
    ----------
    name : str
        File name, as in ``kubectl``.
    package : str
        Go package of its ``main``.
    estimate_s : float
        Seconds of a cold build on two cores, after those before it in the module.
    """

    name: str
    package: str
    estimate_s: float


@dataclass(frozen=True)
class Module:
    """One committed go.mod and what is built from it.

    Attributes
    ----------
    name : str
        Folder under ``local-cluster/go`` and stem of the version key.
    requirement : str
        Module path whose version names the whole.
    version_flags : tuple of str
        ``-X`` assignments of the linker; ``{version}``, ``{major}`` and ``{minor}`` are filled in.
    binaries : tuple of Binary
        In the order in which they are built: what others wait for first.
    """

    name: str
    requirement: str
    version_flags: tuple[str, ...]
    binaries: tuple[Binary, ...]

    @property
    def folder(self) -> Path:
        """Folder of its go.mod and go.sum."""
        return GO_MODULES / self.name


_KUBERNETES_VERSION = "k8s.io/component-base/version"

KUBERNETES = Module(
    name="kubernetes",
    requirement="k8s.io/kubernetes",
    version_flags=(
        f"{_KUBERNETES_VERSION}.gitVersion={{version}}",
        f"{_KUBERNETES_VERSION}.gitMajor={{major}}",
        f"{_KUBERNETES_VERSION}.gitMinor={{minor}}",
        f"{_KUBERNETES_VERSION}.gitTreeState=clean",
    ),
    binaries=(
        Binary("etcd", "go.etcd.io/etcd/server/v3", 60),
        Binary("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 360),
        Binary("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 120),
        Binary("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", 20),
        Binary("kubelet", "k8s.io/kubernetes/cmd/kubelet", 30),
        Binary("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", 30),
        Binary("kubectl", "k8s.io/kubernetes/cmd/kubectl", 26),
    ),
)
VERSITYGW = Module(
    name="versitygw",
    requirement="github.com/versity/versitygw",
    version_flags=("main.Version={version}",),
    binaries=(Binary("versitygw", "github.com/versity/versitygw/cmd/versitygw", 80),),
)
HELM = Module(
    name="helm",
    requirement="helm.sh/helm/v4",
    version_flags=("helm.sh/helm/v4/internal/version.version={version}",),
    binaries=(Binary("helm", "helm.sh/helm/v4/cmd/helm", 150),),
)
MODULES = (KUBERNETES, VERSITYGW, HELM)
NAMES = frozenset(binary.name for module in MODULES for binary in module.binaries)


def required_version(go_mod: str, requirement: str) -> str:
    """Version that a go.mod requires of a module.

    Parameters
    ----------
    go_mod : str
        Text of the go.mod.
    requirement : str
        Module path.

    Returns
    -------
    str
        As in ``v1.37.2``.

    Raises
    ------
    LocalClusterError
        When the go.mod does not require it.
    """
    pattern = rf"^(?:require\s+|\s+){re.escape(requirement)}\s+(v\S+)"
    found = re.search(pattern, go_mod, re.MULTILINE)
    if found is None:
        raise LocalClusterError(f"the go.mod does not require {requirement}: add its version")
    return found.group(1)


def required_go(go_mod: str) -> tuple[int, int]:
    """Oldest Go release that a go.mod allows.

    Parameters
    ----------
    go_mod : str
        Text of the go.mod.

    Returns
    -------
    tuple of int
        Major and minor, as in (1, 26).

    Raises
    ------
    LocalClusterError
        When the go.mod has no ``go`` line.
    """
    found = re.search(r"^go (\d+)\.(\d+)", go_mod, re.MULTILINE)
    if found is None:
        raise LocalClusterError("the go.mod has no `go` line: add one, as in `go 1.26.0`")
    return int(found.group(1)), int(found.group(2))


def linker_flags(module: Module, version: str) -> str:
    """Value of ``-ldflags``: no symbols, and the version that the program prints.

    Parameters
    ----------
    module : Module
        What is built.
    version : str
        As in ``v1.37.2``.
    """
    major, minor, *_ = version.removeprefix("v").split(".")
    sets = (flag.format(version=version, major=major, minor=minor) for flag in module.version_flags)
    return " ".join(["-s", "-w", *(f"-X {value}" for value in sets)])


def version_key(module: Module, go_mod: str, go_sum: str) -> str:
    """Name of the folder of a module's binaries: it changes with anything that changes them.

    Parameters
    ----------
    module : Module
        What is built.
    go_mod, go_sum : str
        Texts of the two files.

    Returns
    -------
    str
        As in ``kubernetes-v1.37.2-0123abcd``.
    """
    version = required_version(go_mod, module.requirement)
    packages = "\n".join(binary.package for binary in module.binaries)
    parts = (go_mod, go_sum, linker_flags(module, version), packages)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{module.name}-{version}-{digest[:8]}"
