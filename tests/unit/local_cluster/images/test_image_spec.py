"""When an image must be made again."""

import shutil
import tomllib
from pathlib import Path

import pytest

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.spec import (
    IMAGES,
    OPERATOR,
    copied,
    dependencies_digest,
    image_digest,
    locked_packages,
)
from trainyard_local.paths import REPOSITORY

LOCK = """
version = 1

[[package]]
name = "trainyard"
version = "0.1.0"
dependencies = [{ name = "boto3" }]

[package.optional-dependencies]
operator = [{ name = "kopf", extra = ["full"] }]
trainer = [{ name = "torch" }]

[package.dev-dependencies]
dev = [{ name = "ruff" }]

[[package]]
name = "boto3"
version = "1.44.5"
dependencies = [{ name = "botocore" }]

[[package]]
name = "botocore"
version = "1.44.5"

[[package]]
name = "kopf"
version = "1.45.2"

[package.optional-dependencies]
full = [{ name = "certvalidator" }]

[[package]]
name = "certvalidator"
version = "1.0.0"

[[package]]
name = "torch"
version = "2.15.0"

[[package]]
name = "ruff"
version = "0.17.0"
"""

CONTAINERFILE = """\
# A comment.
ARG BASE=docker.io/library/python:3.13-slim
ARG DEPENDENCIES=dependencies
FROM ${BASE} AS dependencies
COPY pyproject.toml uv.lock /tmp/
RUN install

FROM ${DEPENDENCIES} AS image
COPY operator/src/trainyard /app/trainyard
COPY --from=other /made /made
ENTRYPOINT ["python"]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    package = tmp_path / "operator/src/trainyard"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A package."""\n')
    (tmp_path / "operator/Containerfile").write_text(CONTAINERFILE)
    (tmp_path / "uv.lock").write_text(LOCK)
    return tmp_path


def digests(repository: Path, base: str = "sha256:base") -> tuple[str, str]:
    dependencies = dependencies_digest(OPERATOR, repository, base)
    return dependencies, image_digest(OPERATOR, repository, dependencies)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_extra_brings_what_it_depends_on_and_nothing_of_other_extras() -> None:
    packages = locked_packages(tomllib.loads(LOCK), "trainyard", "operator")
    assert [p["name"] for p in packages] == ["boto3", "botocore", "kopf", "certvalidator"]


@pytest.mark.parametrize(
    ("project", "extra", "sentence"),
    [
        ("absent", "operator", "uv.lock has no package absent"),
        ("trainyard", "gpu", "uv.lock has no extra gpu of trainyard"),
    ],
)
def test_a_lock_without_the_project_or_extra_is_told(
    project: str, extra: str, sentence: str
) -> None:
    with pytest.raises(LocalClusterError, match=sentence):
        locked_packages(tomllib.loads(LOCK), project, extra)


def test_a_changed_source_changes_the_image_but_not_its_dependencies(repository: Path) -> None:
    before = digests(repository)
    (repository / "operator/src/trainyard/new.py").write_text("")
    after = digests(repository)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_renamed_source_changes_the_image(repository: Path) -> None:
    before = digests(repository)
    package = repository / "operator/src/trainyard"
    (package / "__init__.py").rename(package / "other.py")
    assert digests(repository)[1] != before[1]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("uv.lock", 'name = "kopf"\nversion = "1.45.2"', 'name = "kopf"\nversion = "1.45.3"'),
        ("uv.lock", 'name = "botocore"\nversion = "1', 'name = "botocore"\nversion = "2'),
        ("operator/Containerfile", "RUN install", "RUN install --more"),
    ],
    ids=["a package of the extra", "a package below one", "an instruction"],
)
def test_what_the_dependencies_are_made_of_changes_both_digests(
    repository: Path, file: str, old: str, new: str
) -> None:
    before = digests(repository)
    edit(repository / file, old, new)
    after = digests(repository)
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_another_base_changes_both_digests(repository: Path) -> None:
    first, second = digests(repository, "sha256:one"), digests(repository, "sha256:two")
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("uv.lock", 'name = "ruff"\nversion = "0.17.0"', 'name = "ruff"\nversion = "0.18.0"'),
        ("uv.lock", 'name = "torch"\nversion = "2.15.0"', 'name = "torch"\nversion = "2.15.1"'),
        ("operator/Containerfile", "# A comment.", "# Another comment."),
    ],
    ids=["a development tool", "a package of the other image", "a comment"],
)
def test_what_the_image_is_not_made_of_changes_nothing(
    repository: Path, file: str, old: str, new: str
) -> None:
    before = digests(repository)
    edit(repository / file, old, new)
    assert digests(repository) == before


def test_byte_code_beside_the_sources_changes_nothing(repository: Path) -> None:
    before = digests(repository)
    compiled = repository / "operator/src/trainyard/__pycache__"
    compiled.mkdir()
    (compiled / "__init__.cpython-313.pyc").write_bytes(b"code")
    assert digests(repository) == before


def test_a_missing_source_is_named(repository: Path) -> None:
    shutil.rmtree(repository / "operator/src/trainyard")
    with pytest.raises(LocalClusterError, match=r"operator/src/trainyard is missing"):
        digests(repository)


def test_a_containerfile_without_the_line_between_its_stages_is_refused(repository: Path) -> None:
    edit(repository / "operator/Containerfile", "FROM ${DEPENDENCIES} AS image", "FROM scratch")
    with pytest.raises(LocalClusterError, match="needs exactly one line"):
        digests(repository)


def test_copies_from_the_context_are_found_and_those_from_stages_are_not() -> None:
    stage = "COPY a b /to/\nCOPY --from=x /c /d\nRUN echo COPY no /no\nCOPY e /e\n"
    assert copied(stage) == ["a", "b", "e"]


@pytest.mark.parametrize("name", IMAGES)
def test_the_images_of_the_repository_have_digests(name: str) -> None:
    dependencies = dependencies_digest(IMAGES[name], REPOSITORY, "sha256:base")
    assert len(image_digest(IMAGES[name], REPOSITORY, dependencies)) == 64
