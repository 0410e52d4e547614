"""The container images, built without a container engine and without a registry.

``build`` makes what ``load`` puts into the nodes' containerd. The heavy part of an image, the
virtual environment of its dependencies, is never copied: uv hard-links it from its download cache,
and the nodes' snapshots hard-link it again.
"""
