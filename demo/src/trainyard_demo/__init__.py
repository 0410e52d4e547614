"""The demo: real trainings on real data, on a real Kubernetes on this machine."""
