"""Words of others, fit to be shown: without credentials, and without what a display would obey.

The trainer takes its own credentials out of what it logs. What a library prints past the log, and
a kubelet keeps when a container left no last words, has gone through no hands but these.
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


# What colours a terminal, moves its cursor or sets its title.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
# Controls but tab and line feed; what reorders text; what has no width. Joiners that scripts need
# stay.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)


def plain(text: str) -> str:
    """The text without escape sequences, control characters and such that reorder or hide text.

    They come from the names of files and classes, and from what libraries print: a status is
    shown by terminals, a mail by browsers.
    """
    return _UNSEEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))


def scrubbed(text: str) -> str:
    """Plain text with `***` for each value that is named like a credential, or stands in a URL."""
    return _IN_URL.sub(r"\1***@", _NAMED.sub(r"\1***", plain(text)))
