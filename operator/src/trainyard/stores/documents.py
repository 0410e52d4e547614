"""Small documents in a store."""

from __future__ import annotations

import json
from typing import Any

from trainyard.stores.errors import StoreError


def parse_json(data: bytes, uri: str) -> Any:
    """Plain values of a JSON document.

    Raises
    ------
    StoreError
        If it is not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise StoreError(f"{uri} is not valid JSON") from None
