"""Logs without credentials, as far as they can be told by what stands before them.

The trainer takes its own out of what it logs. What a library prints past the log, and a kubelet
keeps when a container left no last words, has gone through no hands but these.
"""

from __future__ import annotations

import re

_NAMED = re.compile(
    r"""(?ix)
    ( (?: secret | passw(?:or)?d | token | signature | credential | authorization
        | access[-_]?key | api[-_]?key ) [\w-]*     # AWS_SECRET_ACCESS_KEY, X-Amz-Signature
      ["']? \s* [=:] \s* ["']? (?: (?: bearer | basic ) \s+ )? )
    [^\s"'&,;]{4,}
    """
)
_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@")


def scrubbed(text: str) -> str:
    """The text with `***` for each value that is named like a credential, or stands in a URL."""
    return _IN_URL.sub(r"\1***@", _NAMED.sub(r"\1***", text))
