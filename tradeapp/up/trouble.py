"""Expected trouble of an installation, told to a person."""

from __future__ import annotations


class UnableToStart(Exception):
    """Say why the system cannot start and what to do about it."""
