"""What the operator may do: a list that a person has read.

`TRAINYARD_UPDATE_GOLDEN=1` writes the list anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from rendering import NAMESPACE, kinds, one, render

GOLDEN = Path(__file__).with_name("rbac.golden.yaml")
ROLES = ("ClusterRole", "Role")
BINDINGS = ("ClusterRoleBinding", "RoleBinding")
FIXED = {"trainyard-locks", NAMESPACE}
"""Where some rights hold, whichever namespaces are served."""
OWN = {"capabilities", "datasets", "trainingtemplates", "trainingprocesses", "trainedmodels"}


def granted(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every rule that is bound to the operator, with where it holds."""
    objects = render(values)
    roles = {(r["kind"], r["metadata"]["name"]): r for kind in ROLES for r in kinds(objects, kind)}
    found = []
    for binding in (b for kind in BINDINGS for b in kinds(objects, kind)):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "trainyard", "namespace": NAMESPACE}
        ]
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        where = binding["metadata"].get("namespace", "everywhere")
        found += [{"where": where, **rule} for rule in role["rules"]]
    return found


def test_operator_is_granted_what_the_golden_list_says_and_nothing_else() -> None:
    made = granted()
    if os.environ.get("TRAINYARD_UPDATE_GOLDEN"):
        GOLDEN.write_text(yaml.safe_dump(made, sort_keys=False))
    assert made == yaml.safe_load(GOLDEN.read_text())


def test_no_rule_has_a_wildcard_or_leads_to_more_rights() -> None:
    for rule in granted():
        words = {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
        assert "*" not in words, rule
        assert not {"escalate", "bind", "impersonate", "deletecollection"} & words, rule
        assert not {"pods/exec", "pods/attach", "nodes/proxy", "serviceaccounts/token"} & words
        if "rbac.authorization.k8s.io" in words or "nodes" in words:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, rule


def test_pods_are_never_created_and_changed_only_where_the_operator_serves() -> None:
    rules = [rule for rule in granted({"namespaces": ["team-a"]}) if "pods" in rule["resources"]]
    assert {(rule["where"], *rule["verbs"]) for rule in rules} == {
        ("everywhere", "get", "list", "watch"),
        ("team-a", "patch", "delete"),
    }


def test_one_secret_by_its_name_and_no_other_can_be_read() -> None:
    rules = [rule for rule in granted() if "secrets" in rule["resources"]]
    assert [(r["verbs"], r["resourceNames"]) for r in rules] == [(["get"], ["trainyard-store"])]


def test_leases_are_those_of_the_locks_and_the_one_of_the_leader() -> None:
    rules = [rule for rule in granted() if "leases" in rule["resources"]]
    assert {(r["where"], *r["verbs"], *r.get("resourceNames", ())) for r in rules} == {
        ("trainyard-locks", "get", "list", "create", "update", "patch", "delete"),
        (NAMESPACE, "create"),
        (NAMESPACE, "get", "update", "patch", "trainyard-leader"),
    }


def test_with_namespaces_nothing_outside_of_them_can_be_changed() -> None:
    changing = {"create", "update", "patch", "delete"}
    rules = granted({"namespaces": ["team-a", "team-b"]})
    elsewhere = [r for r in rules if r["where"] == "everywhere"]
    allowed = [r["resources"] for r in elsewhere if changing & set(r["verbs"])]
    assert allowed == [["tokenreviews"]]
    assert {r["where"] for r in rules} == {"everywhere", "team-a", "team-b", *FIXED}


def test_rights_in_the_named_namespaces_are_those_that_hold_everywhere_without_names() -> None:
    everywhere = [{**r, "where": ""} for r in granted() if r["where"] not in FIXED]
    named = granted({"namespaces": ["team-a"]})
    assert [{**r, "where": ""} for r in named if r["where"] not in FIXED] == everywhere


def test_people_edit_the_kinds_and_never_their_status() -> None:
    objects = render()
    (edit,) = one(objects, "ClusterRole", "trainyard-edit")["rules"]
    (view,) = one(objects, "ClusterRole", "trainyard-view")["rules"]
    assert set(edit["resources"]) == set(view["resources"]) == OWN
    assert view["verbs"] == ["get", "list", "watch"]
    labels = one(objects, "ClusterRole", "trainyard-edit")["metadata"]["labels"]
    assert labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    without = render({"rbac": {"aggregateToDefaultRoles": False}})
    names = {role["metadata"]["name"] for role in kinds(without, "ClusterRole")}
    assert not {"trainyard-edit", "trainyard-view"} & names


def test_roles_that_release_a_node_are_bound_to_nobody_and_can_be_left_out() -> None:
    objects = render()
    (nodes,) = one(objects, "ClusterRole", "trainyard-node-admin")["rules"]
    assert (nodes["resources"], nodes["verbs"]) == (["nodes"], ["get", "list", "patch"])
    locks = one(objects, "Role", f"trainyard-node-admin-{NAMESPACE}")
    assert locks["metadata"]["namespace"] == "trainyard-locks"
    assert [(r["resources"], r["verbs"]) for r in locks["rules"]] == [(["leases"], ["get", "list"])]
    bound = {b["roleRef"]["name"] for kind in BINDINGS for b in kinds(objects, kind)}
    assert not [name for name in bound if "node-admin" in name]
    without = render({"rbac": {"nodeAdminRole": False}})
    assert not [r for kind in ROLES for r in kinds(without, kind) if "node-admin" in str(r)]
