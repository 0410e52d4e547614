"""A training in a folder of its own, which a person can read, edit and run.

`train.py` of such a folder calls `opened`; the rest is what stands behind it.
"""

from __future__ import annotations

from trainyard_trainer.folder.opening import opened

__all__ = ["opened"]
