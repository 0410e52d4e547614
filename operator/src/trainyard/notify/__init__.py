"""Telling people how a run ended: messages are made here, and sent one try each."""
