"""Short-lived commands: run, and told in a sentence when they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainyard_local.errors import LocalClusterError


def run(
    command: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> str:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence
        Program and arguments.
    check : bool
        Whether an exit status other than 0 is an error.
    stdin : str or None
        What it reads.
    environment : Mapping or None
        Added to this process's environment.
    timeout_s : float
        When to give up, in seconds.

    Returns
    -------
    str
        Its standard output.

    Raises
    ------
    LocalClusterError
        With the command and the last line of its standard error.
    """
    line = [str(part) for part in command]
    try:
        done = subprocess.run(
            line,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(environment or {})},
            timeout=timeout_s,
        )
    except FileNotFoundError:
        raise LocalClusterError(f"{line[0]} is not on this machine: install it") from None
    except subprocess.TimeoutExpired:
        raise LocalClusterError(f"`{' '.join(line)}` did not end in {timeout_s:.0f} s") from None
    if check and done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise LocalClusterError(f"`{' '.join(line)}` failed ({done.returncode}): {said[-1]}")
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout_s: float) -> bool:
    """Whether a command ends well in time.

    Parameters
    ----------
    command : sequence
        Program and arguments.
    timeout_s : float
        When to give up, in seconds.
    """
    try:
        run(command, timeout_s=timeout_s)
    except LocalClusterError:
        return False
    return True
