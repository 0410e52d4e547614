"""Where a command looks: flags, then TRAINYARD_* variables, then a profile, then the kubeconfig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trainyard.api._base import StrictModel
from trainyard.api.documents import DocumentError, first_problem, load_yaml
from trainyard.cli.errors import CommandError

CONFIG_ENV = "TRAINYARD_CONFIG"
PROFILE_ENV = "TRAINYARD_PROFILE"


class S3Profile(StrictModel):
    """The object store, as this machine reaches it. Keys stand elsewhere."""

    endpoint_url: str | None = None
    """URL of the S3 endpoint, for example https://s3.example.org."""
    region: str | None = None
    """Region that requests are signed for."""
    aws_profile: str | None = None
    """Name of the profile in ~/.aws/credentials that has the keys."""


class Profile(StrictModel):
    """One cluster and its store."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; relative to the folder of this file."""
    context: str | None = None
    """Context of the kubeconfig."""
    namespace: str | None = None
    """Namespace of the commands."""
    s3: S3Profile = S3Profile()
    """The object store."""


class ConfigFile(StrictModel):
    """The file ~/.config/trainyard/config.yaml."""

    default_profile: str | None = None
    """Profile that counts where none is named."""
    profiles: dict[str, Profile] = {}
    """Profiles by name."""


@dataclass(frozen=True)
class Flags:
    """What stands on the command line; None: not given."""

    profile: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a command looks; None: what the kubeconfig or the cluster says.

    Attributes
    ----------
    kubeconfig
        Path, or several with the system's path separator as kubectl takes them.
    namespace
        Namespace; None takes that of the context.
    s3_endpoint, s3_region
        How this machine reaches the store.
    aws_profile
        Profile of ~/.aws/credentials with the store's keys; None takes what the environment says.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    aws_profile: str | None = None


def config_path(environ: Mapping[str, str]) -> Path:
    """The file with the profiles: TRAINYARD_CONFIG, or trainyard/config.yaml where XDG has it."""
    named = environ.get(CONFIG_ENV)
    if named:
        return Path(named).expanduser()
    folder = environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "trainyard" / "config.yaml"


def read_config(path: Path) -> ConfigFile:
    """The profiles of a file; none if there is no file.

    Raises
    ------
    CommandError
        If the file cannot be used; the sentence names the field and the value.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ConfigFile()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return ConfigFile.model_validate(load_yaml(text, str(path)) or {})
    except DocumentError as error:
        raise CommandError(str(error)) from None
    except ValidationError as error:
        raise CommandError(f"{path}: {first_problem(error, given=True)}") from None


def resolve(flags: Flags, environ: Mapping[str, str]) -> Target:
    """Where to look, of the flags, the environment and the profile, in this order.

    Raises
    ------
    CommandError
        If a profile is named that the file does not have, or the file cannot be used.
    """
    path = config_path(environ)
    config = read_config(path)
    name = flags.profile or environ.get(PROFILE_ENV) or config.default_profile
    profile = Profile()
    if name:
        if name not in config.profiles:
            known = ", ".join(sorted(config.profiles)) or "none"
            raise CommandError(f"there is no profile {name!r} in {path}: it has {known}")
        profile = config.profiles[name]
    return Target(
        kubeconfig=flags.kubeconfig
        or environ.get("TRAINYARD_KUBECONFIG")
        or _beside(path, profile.kubeconfig)
        or environ.get("KUBECONFIG"),
        context=flags.context or environ.get("TRAINYARD_CONTEXT") or profile.context,
        namespace=flags.namespace or environ.get("TRAINYARD_NAMESPACE") or profile.namespace,
        # The AWS variables are not Trainyard's: a profile that was chosen counts more.
        s3_endpoint=flags.s3_endpoint
        or environ.get("TRAINYARD_S3_ENDPOINT")
        or profile.s3.endpoint_url
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL"),
        s3_region=flags.s3_region
        or environ.get("TRAINYARD_S3_REGION")
        or profile.s3.region
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION"),
        aws_profile=profile.s3.aws_profile,
    )


def _beside(path: Path, kubeconfig: str | None) -> str | None:
    return None if kubeconfig is None else str(path.parent / Path(kubeconfig).expanduser())
