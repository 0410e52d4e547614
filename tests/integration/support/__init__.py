"""Helpers of the integration tests: a simulated kubelet, the operator's process, a checker."""
