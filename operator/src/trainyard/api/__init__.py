"""The kinds, the wire messages and the run files: pydantic models without any I/O."""
