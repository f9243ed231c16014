"""The errors raised when something outside the process fails."""

from __future__ import annotations


class Failure(Exception):
    """A sentence for the person at the terminal: what failed and what to do."""


class Unavailable(Exception):
    """The database cannot be reached or does not answer. Nothing is known to be lost; the command may be sent again."""


class OtherVersion(Unavailable):
    """The database has other read models than this program, which must then not write. The text says what to do."""
