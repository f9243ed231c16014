"""What a process ends with, or a command is refused with, when something outside it fails."""

from __future__ import annotations


class Failure(Exception):
    """A sentence for the person at the terminal: what failed and what to do."""


class Unavailable(Exception):
    """The database cannot be reached or does not answer; nothing is known to be lost and the command may be sent again."""


class OtherVersion(Unavailable):
    """The database's read models are not those of this program, which must not write then; the text says what to do."""
