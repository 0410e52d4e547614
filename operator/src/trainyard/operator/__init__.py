"""The process that runs in the cluster: kopf handlers, cache, queue, settings, start-up."""

__version__ = "0.1.0"
"""Of the program; the same as the project's. An image has the code without an installation."""
