"""Exceptions: one class per kind of error of the C++ library, all of them `imgpack.Error`.

The text says what failed, where, what was expected, what was found and what to try next.
"""

from __future__ import annotations


class Error(Exception):
    """What every exception of this package is."""

    kind = "internal"
    message: str = ""  # Without path, offset and hint; str() has all of it.
    path: str | None = None
    offset: int | None = None  # Bytes into `path`.
    hint: str = ""  # What to try next; may be empty.

    def __init__(self, text: str = "", *, message: str = "", hint: str = "") -> None:
        super().__init__(f"{text}. Hint: {hint}" if hint else text)
        self.message = message or text
        self.hint = hint


class UsageError(Error, ValueError):
    """An argument is wrong, or something was used in a way that it is not meant for."""

    kind = "usage"


class IoError(Error, OSError):
    """The operating system refused or failed: missing, unreadable, full."""

    kind = "io"


class InvalidInputError(Error, ValueError):
    """A split, a label set or an image is not what it must be."""

    kind = "invalid input"


class CorruptionError(Error):
    """Bytes of a dataset differ from what was written."""

    kind = "corruption"


class UnsupportedVersionError(Error):
    """A dataset of a newer format, or with a feature that this version must understand and does not."""

    kind = "unsupported version"


class StoppedError(Error):
    """Stopped by a request."""

    kind = "interrupted"


class InternalError(Error, RuntimeError):
    """A broken promise inside this package."""

    kind = "internal"
