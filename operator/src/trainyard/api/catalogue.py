"""The catalogue of reasons for people, written from the vocabulary."""

from __future__ import annotations

from trainyard.api.reasons import Reason

_HEAD = """\
# Reasons

<!-- Generated from trainyard.api.reasons by `python -m trainyard.api.crd`: do not edit. -->

Each condition of an object, each attempt of a run and most events have a reason: one word that
programs can test. The sentence beside it says what was found in this case and what to do;
`kubectl describe` shows both, and for an attempt that failed the end of its log.
[runs.md](runs.md) tells how runs wait, go on and end.

| Reason | It appears when | What to do |
|---|---|---|
"""


def reasons_page() -> str:
    """Markdown page with one row a reason, by name."""
    rows = (
        f"| `{reason}` | {reason.when} | {reason.remedy or 'nothing'} |\n"
        for reason in sorted(Reason, key=str.lower)
    )
    return _HEAD + "".join(rows)
