"""Kubeconfig files: one cluster, one user, everything inside."""

import base64
import os
from pathlib import Path

import yaml

from trainyard_local.pki import KeyPair


def render(server: str, authority: Path, client: KeyPair, *, namespace: str = "default") -> str:
    """Kubeconfig text.

    Parameters
    ----------
    server : str
        URL of the API server.
    authority : Path
        Certificate of the authority, PEM.
    client : KeyPair
        Certificate and key of the user.
    namespace : str
        Namespace of the context.
    """
    name = "trainyard-local"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": server,
                        "certificate-authority-data": _encoded(authority),
                    },
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _encoded(client.certificate),
                        "client-key-data": _encoded(client.key),
                    },
                }
            ],
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}
            ],
            "current-context": name,
        },
        sort_keys=False,
    )


def write(path: Path, text: str) -> Path:
    """Write a file that holds a key: readable by its owner only, left alone when unchanged.

    Parameters
    ----------
    path : Path
        Where.
    text : str
        Its content.
    """
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
