"""Trainings on this machine: the same manifests, decisions and trainer, without a cluster."""
