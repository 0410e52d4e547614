"""Everything that talks to Kubernetes: gather, apply, lock."""
