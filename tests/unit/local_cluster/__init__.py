"""Unit tests of the local cluster: no root, nothing of the machine changes."""
