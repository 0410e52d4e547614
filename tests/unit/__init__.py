"""Unit tests: no cluster, no network beyond this process, seconds."""
