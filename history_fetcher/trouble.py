"""What can go wrong, each with the exit code that a script sees."""

from __future__ import annotations


class Trouble(Exception):
    """Something that a person can mend; the message says what and how."""

    exit_code = 1


class BadRequest(Trouble):
    """What was asked for makes no sense, or nobody publishes it."""

    exit_code = 2


class Unreachable(Trouble):
    """The source does not answer, or not with what it should."""

    exit_code = 3


class Locked(Trouble):
    """Another run writes to the same root."""

    exit_code = 4


class NoRoom(Trouble):
    """The root cannot be written, or the disk is full."""

    exit_code = 5


class BadArchive(Trouble):
    """One archive cannot be trusted; the others go on."""


class Stopped(Trouble):
    """Somebody asked to stop."""

    exit_code = 130
