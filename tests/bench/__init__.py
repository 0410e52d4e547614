"""Measurements against peers: ratios, never asserted. See README.md."""
