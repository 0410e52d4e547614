"""Manifests that are read here instead of being applied: by the same rules."""
