"""Labelled images: reading sources in any format, snapshots, and what splits have in common.

Used by the trainer (which makes snapshots), by the operator (which compares splits) and by the
command line (which checks data before it is uploaded). It knows no cluster and no engine.
"""
