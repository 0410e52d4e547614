import pytest

from trainyard_local import components
from trainyard_local.components import HELM, KUBERNETES, MODULES, VERSITYGW, Module
from trainyard_local.errors import LocalClusterError

GO_MOD = """module x

go 1.26.0

require (
\tgo.etcd.io/etcd/server/v3 v3.7.0
\tk8s.io/kubernetes v1.37.2
)

replace k8s.io/api => k8s.io/api v0.37.2
"""


def committed(module: Module) -> tuple[str, str]:
    return (module.folder / "go.mod").read_text(), (module.folder / "go.sum").read_text()


def test_the_version_of_a_module_is_read_from_its_require_line() -> None:
    assert components.required_version(GO_MOD, "k8s.io/kubernetes") == "v1.37.2"


def test_a_single_line_require_is_read_too() -> None:
    assert components.required_version("go 1.26\nrequire a.b/c v1.2.3\n", "a.b/c") == "v1.2.3"


def test_a_replace_line_is_no_requirement() -> None:
    with pytest.raises(LocalClusterError, match=r"does not require k8s\.io/api"):
        components.required_version(GO_MOD, "k8s.io/api")


def test_a_go_mod_without_go_line_is_refused() -> None:
    with pytest.raises(LocalClusterError, match="no `go` line"):
        components.required_go("module x\n")


def test_the_linker_writes_the_version_that_kubectl_prints() -> None:
    flags = components.linker_flags(KUBERNETES, "v1.37.2")

    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in flags
    assert "-X k8s.io/component-base/version.gitMinor=37" in flags


def test_the_version_key_names_version_and_changes_with_any_dependency() -> None:
    key = components.version_key(KUBERNETES, GO_MOD, "sum")

    assert key.startswith("kubernetes-v1.37.2-")
    assert key == components.version_key(KUBERNETES, GO_MOD, "sum")
    assert key != components.version_key(KUBERNETES, GO_MOD, "other sum")
    assert key != components.version_key(KUBERNETES, GO_MOD.replace("v3.7.0", "v3.7.1"), "sum")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_committed_module_names_its_version_and_its_programs(module: Module) -> None:
    go_mod, go_sum = committed(module)

    assert components.version_key(module, go_mod, go_sum).startswith(f"{module.name}-v")
    for binary in module.binaries:
        assert f"\t{binary.package}\n" in go_mod or f"tool {binary.package}\n" in go_mod


def test_every_staging_module_of_kubernetes_has_the_version_of_kubernetes() -> None:
    go_mod, _ = committed(KUBERNETES)
    replaced = [line.split() for line in go_mod.splitlines() if " => k8s.io/" in line]

    assert len(replaced) == 33
    minor = components.required_version(go_mod, "k8s.io/kubernetes").removeprefix("v1.")
    assert {words[-1] for words in replaced} == {f"v0.{minor}"}


def test_no_program_is_built_from_two_modules() -> None:
    names = [binary.name for module in (KUBERNETES, VERSITYGW, HELM) for binary in module.binaries]

    assert len(names) == len(set(names)) == len(components.NAMES)
