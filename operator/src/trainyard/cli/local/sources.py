"""Where the images of a Dataset lie for this machine: folders for claims and buckets, else S3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainyard.api.dataset import Dataset
from trainyard.api.run import StoreLocation
from trainyard.cli.errors import CommandError
from trainyard.cli.profiles import Target
from trainyard.cli.store_access import own_keys
from trainyard.decide.facts import ProcessFacts
from trainyard.stores import Credentials, Store, open_store


@dataclass(frozen=True)
class Folders:
    """Folders of this machine that stand for what a manifest names.

    Attributes
    ----------
    claims, buckets
        By the name of the PersistentVolumeClaim, and of the bucket.
    """

    claims: dict[str, Path]
    buckets: dict[str, Path]

    def check(self, datasets: Iterable[Dataset]) -> None:
        """Every claim that is read has a folder.

        Raises
        ------
        CommandError
            If not; the sentence has the option that gives it.
        """
        for dataset in datasets:
            for index, selection in enumerate(dataset.spec.selections):
                volume = selection.source.volume
                if volume is not None and volume.claim_name not in self.claims:
                    raise CommandError(
                        f"Dataset {dataset.metadata.name}: selection {index} reads the volume "
                        f"{volume.claim_name}, which is in a cluster: say which folder of this "
                        f"machine has its files with --volume {volume.claim_name}=FOLDER"
                    )

    def held_out(self, facts: ProcessFacts) -> Path | None:
        """A folder of images that the model has not learnt from; None if it is in no folder."""
        splits = facts.process.spec.datasets
        name = (splits.test or splits.dev)[0]
        source = facts.datasets[name].spec.selections[0].source
        if source.volume is not None:
            return self.claims[source.volume.claim_name] / source.volume.path
        if source.s3 is not None and source.s3.bucket in self.buckets:
            return self.buckets[source.s3.bucket] / source.s3.prefix
        return None

    def of_bucket_only(self, dataset: Dataset) -> str | None:
        """A bucket that the dataset reads and that no folder stands for."""
        for selection in dataset.spec.selections:
            s3 = selection.source.s3
            if s3 is not None and s3.bucket not in self.buckets:
                return s3.bucket
        return None


def folders(option: str, given: Iterable[str]) -> dict[str, Path]:
    """What `NAME=FOLDER` options say.

    Raises
    ------
    CommandError
        If one is none, names what another one names, or the folder is not there.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, separator, folder = text.partition("=")
        if not separator or not name or not folder:
            raise CommandError(f"{option} {text}: give NAME=FOLDER")
        if name in found:
            raise CommandError(f"{option} {text}: {name} is {found[name]} already")
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise CommandError(f"{option} {text}: there is no folder {folder}")
        found[name] = path.resolve()
    return found


def location_of(target: Target) -> StoreLocation:
    """How a person reaches the store."""
    location = StoreLocation(endpoint_url=target.s3_endpoint)
    return location.model_copy(update={"region": target.s3_region or location.region})


def key_variables(target: Target) -> dict[str, str]:
    """The person's keys as the variables that the trainer reads; none if there are none.

    Raises
    ------
    CommandError
        If they cannot be read.
    """
    found = _keys(target)
    if found is None:
        return {}
    return {
        "AWS_ACCESS_KEY_ID": found.access_key,
        "AWS_SECRET_ACCESS_KEY": found.secret_key,
        **({"AWS_SESSION_TOKEN": found.session_token} if found.session_token else {}),
    }


def _keys(target: Target) -> Credentials | None:
    found = own_keys(target.aws_profile)
    return None if found is None else found[0]


def store_for(datasets: Iterable[Dataset], folders: Folders, target: Target) -> Store:
    """The store that the images are read from; no key is asked for where folders have all of them.

    Raises
    ------
    CommandError
        If a bucket is to be read and there are no keys.
    """
    location = location_of(target)
    asked = [(each, bucket) for each in datasets if (bucket := folders.of_bucket_only(each))]
    if not asked:
        return open_store(location)
    keys = _keys(target)
    if keys is None:
        dataset, bucket = asked[0]
        raise CommandError(
            f"Dataset {dataset.metadata.name} reads the bucket {bucket}, and there are no keys for "
            "the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
            "TRAINYARD_S3_ENDPOINT, if it is not AWS's), or say which folder of this machine has "
            f"its files with --bucket {bucket}=FOLDER"
        )
    return open_store(location, keys)
