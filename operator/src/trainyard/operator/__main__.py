"""`python -m trainyard.operator`: start the operator."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

from trainyard.cluster.api_server import ApiServer, connect
from trainyard.operator.runtime import Runtime, StartError
from trainyard.operator.settings import Settings, SettingsError, load_settings


def main() -> int:
    """Run until a signal; 0 after one, 78 for bad settings, 1 if it cannot start."""
    logging.basicConfig(
        level=os.environ.get("TRAINYARD_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stdout,
    )
    # kopf's own words on every event would drown ours.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"trainyard: {error}", file=sys.stderr)
        return 78
    try:
        api = connect(os.environ.get("KUBECONFIG"), connections=settings.workers + 8)
        asyncio.run(_run(settings, api))
    except StartError as error:
        print(f"trainyard: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings, api: ApiServer) -> None:
    await Runtime(settings, api, socket.gethostname()).run()


if __name__ == "__main__":
    sys.exit(main())
