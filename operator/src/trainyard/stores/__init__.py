"""The artefact store: S3, or a folder for local use."""
