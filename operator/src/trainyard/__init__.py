"""Trainyard: train vision models on your own machines with ``kubectl apply``."""
