"""`trainyard weights`: files that trainings may start from."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import click

from trainyard.cli import options
from trainyard.cli import weights as files
from trainyard.cli.errors import CommandError
from trainyard.cli.local.trainer import call, look_for_trainer, trainer_command
from trainyard.cli.output import note, working
from trainyard.cli.weights import Uploaded
from trainyard.decide.display import size
from trainyard.stores.errors import AccessDenied, BucketNotFound, StoreUnavailable


@click.group()
def weights() -> None:
    """Store weights that trainings may start from."""


@weights.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("place", metavar="S3://BUCKET/NAME.pth")
@click.option(
    "--trust", is_flag=True, help="Open a FILE.pt, which may run code: you know where it is from."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that has other content.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="How to print what to do next.",
)
@options.store_options
@options.cluster_options
def upload(file: Path, place: str, trust: bool, overwrite: bool, output: str) -> None:
    """Put weights into the store.

    Prints the lines with which the operator's settings allow them and a template uses them.

    FILE is a model.pth of Trainyard, which is stored as it is; or a FILE.pt of ultralytics, a
    pickle, which is converted to one first. Opening a pickle can run what its author wrote into it:
    this is done only with --trust, on this machine, and never in a pod.
    """
    files.check_kind(file)
    uri = files.target(place, file)
    if file.suffix == files.OURS:
        files.check_ours(file)
        done = _upload(file, uri, overwrite=overwrite)
    else:
        if not trust:
            raise CommandError(
                f"{file} is a pickle, which can run code when it is opened: give --trust if you "
                "know where it comes from"
            )
        look_for_trainer()
        with tempfile.TemporaryDirectory(prefix="trainyard-weights-") as name:
            # The name stands in the file: always the same one, for always the same digest.
            converted = Path(name) / "model.pth"
            with working(f"converting {file.name}"):
                words = call(
                    trainer_command("convert", file, converted, "--trust"),
                    folder=Path(name),
                    environ={"TRAINYARD_WORKDIR": str(Path(name) / "work")},
                    lines_to=subprocess.DEVNULL,
                )
            note(words.message.replace(str(converted), file.name))
            done = _upload(converted, uri, overwrite=overwrite)
    how = "sent" if done.sent else "there already"
    note(f"{done.uri}: {size(done.file.size_bytes)}, {how}")
    _print(done, output)


def _upload(path: Path, uri: str, *, overwrite: bool) -> Uploaded:
    access = options.store_access()
    try:
        with working(f"uploading to {uri}"):
            return files.upload(access.store, path, uri, overwrite=overwrite)
    except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
        raise access.explain(error) from None


def _print(done: Uploaded, output: str) -> None:
    """What an administrator and the author of a template write."""
    digest = done.file.sha256
    if output == "json":
        document = {"uri": done.uri, "sha256": digest, "sizeBytes": done.file.size_bytes}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo("# For the values of the chart, by an administrator:")
    click.echo(f"trainer:\n  allowedWeights:\n    - {digest}  # {done.uri}")
    click.echo("---\n# For a TrainingTemplate:")
    click.echo(f"spec:\n  baseModel:\n    weights:\n      uri: {done.uri}\n      sha256: {digest}")
