"""The process that runs in the cluster: kopf handlers, cache, queue, settings, start-up."""
