"""Labelled images: reading sources, packing snapshots, laying them out for an engine."""
