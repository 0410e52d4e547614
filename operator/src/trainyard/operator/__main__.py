"""`python -m trainyard.operator`: start the operator."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

from trainyard.cluster.api_server import ApiServer, connect
from trainyard.operator import __version__
from trainyard.operator.logs import configure
from trainyard.operator.runtime import Runtime, StartError
from trainyard.operator.settings import Settings, SettingsError, load_settings

log = logging.getLogger("trainyard.operator")


def main() -> int:
    """Run until a signal; 0 after one, 78 for bad settings, 1 if it cannot start or go on."""
    try:
        settings = load_settings()
    except SettingsError as error:
        # How lines are to look is not known yet.
        print(f"trainyard: {error}", file=sys.stderr)
        return 78
    configure(settings.log)
    log.info("the operator %s begins", __version__)
    try:
        api = connect(os.environ.get("KUBECONFIG"), connections=settings.workers + 8)
        asyncio.run(_run(settings, api))
    except StartError as error:
        log.error("%s", error)  # noqa: TRY400 -- a sentence; the traceback says nothing
        return 1
    except Exception:
        log.exception("the operator ends")
        return 1
    return 0


async def _run(settings: Settings, api: ApiServer) -> None:
    await Runtime(settings, api, socket.gethostname()).run()


if __name__ == "__main__":
    sys.exit(main())
