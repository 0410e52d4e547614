"""The one error that a person sees: a sentence, no traceback."""


class DemoError(Exception):
    """What went wrong with which thing, and what to do: one sentence (or a few)."""
