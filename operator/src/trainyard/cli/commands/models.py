"""`trainyard models`: list, show and download finished models."""

from __future__ import annotations

from pathlib import Path

import click

from trainyard.cli import catalogue, options
from trainyard.cli.commands.listing import print_all
from trainyard.cli.completing import Named, names_of
from trainyard.cli.downloads import download as download_files
from trainyard.cli.downloads import wanted_files
from trainyard.cli.errors import CommandError
from trainyard.cli.model_report import print_model
from trainyard.cli.output import RESULT_JSON, Format, output_option, print_document, result_option
from trainyard.cli.progress import shown_progress
from trainyard.cli.store_access import find_store
from trainyard.decide.display import size
from trainyard.stores.errors import AccessDenied, BucketNotFound, StoreUnavailable


@click.group()
def models() -> None:
    """List, show and download finished models."""


@models.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Models of all namespaces.")
@output_option
@options.cluster_options
def list_(all_namespaces: bool, output: str) -> None:
    """List finished models."""
    print_all(
        catalogue.MODELS,
        all_namespaces=all_namespaces,
        output=output,
        hint="a process makes one when it has succeeded",
    )


@models.command()
@click.argument("name", shell_complete=names_of(Named.MODEL))
@output_option
@options.cluster_options
def show(name: str, output: str) -> None:
    """Show what a model knows, how good it is, and its files.

    Classes, metrics by plan (`trainyard train evaluate --create` measures more of them), where it
    comes from, and each file with its digest.
    """
    cluster = options.connection()
    model = catalogue.get_object(cluster.api, catalogue.MODELS, cluster.namespace, name)
    if output == Format.TABLE:
        print_model(model)
    else:
        print_document(model.to_wire(), Format(output))


@models.command()
@click.argument("name", shell_complete=names_of(Named.MODEL))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write to.  [default: ./NAME]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that have other content.")
@result_option
@options.store_options
@options.cluster_options
def download(name: str, out: Path | None, overwrite: bool, output: str) -> None:
    """Download a model and verify every file.

    Fetches all files that TrainedModel NAME names (weights, configuration, archive, metrics, log)
    from the object store and compares their size and SHA-256 with what the model states. A file
    appears whole and verified or not at all. Repeating the command fetches what is missing.

    The keys of the store are those of your AWS settings (AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or ~/.aws), else those of the Secret trainyard-store, if you may read
    it. The endpoint is the one that the runs of the namespace use, unless you name another one.
    """
    cluster, target = options.connection(), options.target()
    model = catalogue.get_object(cluster.api, catalogue.MODELS, cluster.namespace, name)
    files = wanted_files(model)
    folder = out if out is not None else Path(name)
    access = find_store(cluster.api, target, cluster.namespace)
    try:
        with shown_progress(beside=output == RESULT_JSON) as progress:
            done = download_files(access.store, files, folder, progress, overwrite=overwrite)
    except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
        raise access.explain(error) from None
    if len(done.missing) == len(files) > 1:
        location = model.spec.artefacts.location
        raise access.explain(f"none of the {len(files)} files of {model.key} is at {location}")
    sentences = "\n".join((*done.damaged, *done.missing))
    if done.missing:
        raise access.explain(sentences)
    if done.damaged:
        raise CommandError(sentences)
    if output == RESULT_JSON:
        document = {
            "model": model.metadata.name,
            "namespace": model.metadata.namespace,
            "folder": str(folder),
            "files": [
                {
                    "name": file.name,
                    "uri": file.uri,
                    "sha256": file.sha256,
                    "sizeBytes": file.size_bytes,
                }
                for file in files
            ],
        }
        print_document(document, Format.JSON)
        return
    total = size(sum(file.size_bytes for file in files))
    click.echo(f"{model.key}: {len(files)} files, {total}, verified, in {folder}")
