"""OCI image layouts: blobs, manifests, and the archive that containerd imports.

Source: the OCI Image Format Specification 1.1 (image-layout, manifest, config).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.layers import Layer

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
TAG = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
VERSION_FILE = {"imageLayoutVersion": "1.0.0"}


@dataclass(frozen=True)
class Layout:
    """One layout on disk.

    Attributes
    ----------
    root : Path
        Folder with ``index.json`` and ``blobs/sha256``.
    """

    root: Path

    def blob(self, digest: str) -> Path:
        """Path of a blob, whether it is there or not.

        Parameters
        ----------
        digest : str
            ``sha256:`` and 64 hexadecimal digits.
        """
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def read(self, digest: str) -> dict[str, Any]:
        """Parse a JSON blob.

        Parameters
        ----------
        digest : str
            Its digest.
        """
        parsed: dict[str, Any] = json.loads(self.blob(digest).read_bytes())
        return parsed

    def write(self, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        """Write a JSON blob.

        Parameters
        ----------
        document : Mapping
            What it says.
        media_type : str
            What it is.

        Returns
        -------
        dict
            Its descriptor.
        """
        text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        path = self.blob(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        return {"mediaType": media_type, "digest": digest, "size": len(text)}

    def write_index(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Write what makes the folder a layout.

        Parameters
        ----------
        manifests : iterable of Mapping
            Descriptors of the images.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "oci-layout").write_text(json.dumps(VERSION_FILE), encoding="utf-8")
        index = {"schemaVersion": 2, "manifests": list(manifests)}
        (self.root / "index.json").write_text(json.dumps(index), encoding="utf-8")

    def tagged(self, tag: str) -> str:
        """Digest of the manifest of a tag.

        Parameters
        ----------
        tag : str
            Name in the layout.

        Raises
        ------
        LocalClusterError
            When the layout has no such tag.
        """
        for manifest in self._index():
            if manifest.get("annotations", {}).get(TAG) == tag:
                return str(manifest["digest"])
        raise LocalClusterError(
            f"the image layout {self.root} has no image {tag}: delete the folder and build again"
        )

    def remove_unused(self, manifests: Iterable[str]) -> None:
        """Delete the blobs that no image needs.

        Parameters
        ----------
        manifests : iterable of str
            Digests of manifests to keep beside those of the index.
        """
        used = set()
        for digest in {*manifests, *(str(m["digest"]) for m in self._index())}:
            if self.blob(digest).exists():
                manifest = self.read(digest)
                layers = (layer["digest"] for layer in manifest["layers"])
                used |= {digest, manifest["config"]["digest"], *layers}
        for path in self.blob("").iterdir():
            if f"sha256:{path.name}" not in used:
                path.unlink()

    def _index(self) -> list[dict[str, Any]]:
        path = self.root / "index.json"
        if not path.exists():
            return []
        manifests: list[dict[str, Any]] = json.loads(path.read_bytes())["manifests"]
        return manifests


def with_lowest_layer(
    config: Mapping[str, Any], manifest: Mapping[str, Any], layer: Layer, made_by: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Put a layer below all others of an image.

    At the bottom its snapshot has no parent, so a node can have it before it has anything else, and
    it stays when the base image or the sources change.

    Parameters
    ----------
    config, manifest : Mapping
        Of the image.
    layer : Layer
        The layer; nothing of the image may lie below its folders.
    made_by : str
        What the image's history says of it.

    Returns
    -------
    tuple
        The new config and the layer descriptors of the new manifest.
    """
    root = {**config["rootfs"], "diff_ids": [layer.digest, *config["rootfs"]["diff_ids"]]}
    history = [{"created": config["created"], "created_by": made_by}, *config.get("history", [])]
    descriptor = {"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}
    return {**config, "rootfs": root, "history": history}, [descriptor, *manifest["layers"]]


def write_archive(
    layout: Layout,
    manifest_digest: str,
    names: Iterable[str],
    without: Collection[str],
    target: BinaryIO,
    blob: tuple[str, int, BinaryIO] | None = None,
) -> None:
    """Write an OCI archive of one image.

    Parameters
    ----------
    layout : Layout
        Where the blobs are.
    manifest_digest : str
        Of the image.
    names : iterable of str
        Names that the image gets in containerd.
    without : collection of str
        Digests of blobs that the reader already has.
    target : binary file
        Where the archive goes.
    blob : tuple of str, int and binary file, or None
        Digest, size and content of a blob that the layout does not have.
    """
    manifest = layout.read(manifest_digest)
    size = layout.blob(manifest_digest).stat().st_size
    descriptor = {"mediaType": MANIFEST_TYPE, "digest": manifest_digest, "size": size}
    manifests = [{**descriptor, "annotations": {CONTAINERD_NAME: name}} for name in names]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    layers = [layer["digest"] for layer in manifest["layers"]]
    with tarfile.open(fileobj=target, mode="w|") as archive:
        for name, document in (("oci-layout", VERSION_FILE), ("index.json", index)):
            text = json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        for digest in (manifest_digest, manifest["config"]["digest"], *layers):
            if blob is not None and digest == blob[0]:
                member = tarfile.TarInfo(f"blobs/sha256/{digest.removeprefix('sha256:')}")
                member.size = blob[1]
                archive.addfile(member, blob[2])
            elif digest not in without:
                path = layout.blob(digest)
                archive.add(path, f"blobs/sha256/{path.name}", recursive=False)
