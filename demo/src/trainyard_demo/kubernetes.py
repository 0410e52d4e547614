"""kubectl and helm, the way a person would use them on the demo's cluster."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_demo.errors import DemoError

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Kubernetes:
    """The cluster's command lines.

    Attributes
    ----------
    kubectl, helm : Path
        The programs.
    kubeconfig : Path
        Of the cluster's administrator.
    """

    kubectl: Path
    helm: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What a kubectl command prints.

        Parameters
        ----------
        *arguments : str
            Command and options.
        stdin : str or None
            Text that it reads, for example with ``-f -``.

        Raises
        ------
        DemoError
            If it fails; with kubectl's own words.
        """
        return self._call(self.kubectl, arguments, stdin)

    def install(self, *arguments: str, stdin: str | None = None) -> str:
        """What a helm command prints; raises as `run` does.

        Parameters
        ----------
        *arguments : str
            Command and options.
        stdin : str or None
            Text that it reads, for example with ``--values -``.
        """
        return self._call(self.helm, arguments, stdin)

    def json(self, *arguments: str) -> Any:
        """The plain values that a kubectl command prints with ``-o json``.

        Parameters
        ----------
        *arguments : str
            Command and options.
        """
        return json.loads(self.run(*arguments, "--output", "json"))

    def attempt(self, *arguments: str) -> str:
        """What a kubectl command prints, or its error: for showing what is known of a failure.

        Parameters
        ----------
        *arguments : str
            Command and options.
        """
        try:
            return self.run(*arguments)
        except DemoError as error:
            return str(error)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create objects or bring them up to date.

        Parameters
        ----------
        *objects : dict
            Manifests. They go through a pipe: a Secret on a command line could be read by others.
        """
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        # On the server's side, for a client-side apply copies a Secret's content to an annotation.
        options = ("--server-side", "--force-conflicts", "--filename", "-")
        self.run("apply", *options, stdin=json.dumps(items))

    def _call(self, program: Path, arguments: Sequence[str], stdin: str | None) -> str:
        environ = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "NO_PROXY": "*"}
        try:
            done = subprocess.run(
                [str(program), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                env=environ,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(
                f"`{program.name} {' '.join(arguments)}` did not end within {TIMEOUT_S:.0f} s: "
                "see `python -m trainyard_local status`"
            ) from None
        if done.returncode != 0:
            raise DemoError(f"`{program.name} {' '.join(arguments)}`: {done.stderr.strip()}")
        return done.stdout
