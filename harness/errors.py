"""The errors that a user may meet, one class per kind of remedy.

Every message is one line: what failed, where, and the setting that usually explains it. The values stand in
attributes too, so that a program need not parse the sentence.
"""

from __future__ import annotations

import contextlib
import errno as _errno
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

Error = TypeVar("Error", bound=BaseException)


class HarnessError(Exception):
    """Base of all errors that this project raises on purpose; the command line ends with exit code 2."""


class UsageError(HarnessError):
    """An argument or a setting that cannot mean anything; nothing was started."""


class UnitError(UsageError, ValueError):
    """A quantity that does not parse: unknown unit, missing unit, or out of range."""


class ScenarioError(UsageError):
    """A scenario file that does not fit the schema; names the file, the key and the nearest valid one."""


class SchemaFileError(UsageError):
    """A protocol schema, built in or the user's own, that cannot be loaded."""


class InterfaceError(HarnessError):
    """No such network interface, several that match, or one that cannot do what is asked of it."""


class SocketOptionError(HarnessError):
    """The kernel refused a socket option.

    Attributes:
      option: the option's name as the manual spells it, "IP_MULTICAST_TTL".
      value: the value that was asked for, as text.
      errno: the kernel's error number.
    """

    def __init__(self, option: str, value: object, errno: int, remedy: str = "") -> None:
        self.option, self.value, self.errno, self.remedy = option, value, errno, remedy
        super().__init__(f"cannot set {option} to {value}: {errno_text(errno)}" + (f"; {remedy}" if remedy else ""))


class MembershipError(HarnessError):
    """The kernel refused to join or leave a group; names membership, interface and the usual remedy.

    Attributes:
      membership: the membership as text, "(*, 239.1.2.3) on eth0".
      errno: the kernel's error number.
    """

    def __init__(self, action: str, membership: str, errno: int, remedy: str = "") -> None:
        self.action, self.membership, self.errno, self.remedy = action, membership, errno, remedy
        super().__init__(f"cannot {action} {membership}: {errno_text(errno)}" + (f"; {remedy}" if remedy else ""))


class BindError(HarnessError):
    """A socket could not be bound to its address and port."""


class RecordError(HarnessError):
    """A recording, capture or table that cannot be read: damaged, of an unknown version, or not one at all."""


class StorageError(HarnessError):
    """A result could not be written: full disk, missing directory, no permission."""


class HostError(HarnessError):
    """A host of a scenario that cannot be reached, does not answer, or has another version of this program.

    Attributes:
      host: the host's name in the scenario.
      reason: the sentence without the name.
    """

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"host {host}: {reason}")


class LabError(HarnessError):
    """The lab cannot be built or changed: a tool, a privilege or a kernel feature is missing, or a command failed."""


class AnalysisError(HarnessError):
    """Packets that contradict what the analysis was told about them."""


def first_error(group: BaseExceptionGroup[Error]) -> Error:
    """Return the first error of a group, however deep it stands.

    >>> first_error(ExceptionGroup("tasks", [ExceptionGroup("inner", [UsageError("no such thing")])]))
    UsageError('no such thing')
    """
    error: Error | BaseExceptionGroup[Error] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first interrupt, else the first error of this module, out of a task group's exception group.

    Of a group that holds neither, an error that is the only one leaves as itself, and several as they are.

    >>> with ungrouped():
    ...     raise ExceptionGroup("tasks", [ExceptionGroup("inner", [UsageError("no such thing")])])
    Traceback (most recent call last):
    harness.errors.UsageError: no such thing
    """
    try:
        yield
    except BaseExceptionGroup as group:
        for kind in (KeyboardInterrupt, HarnessError):
            if (of_kind := group.subgroup(kind)) is not None:
                raise first_error(of_kind) from None
        first = first_error(group)
        others = group.subgroup(lambda error: error is not first and not isinstance(error, BaseExceptionGroup))
        if others is None:
            raise first from None
        raise


def errno_text(errno: int) -> str:
    """Return an error number the way a person looks it up: its name and the system's sentence.

    >>> errno_text(19)
    'ENODEV (No such device)'
    """
    return f"{_errno.errorcode.get(errno, f'errno {errno}')} ({os.strerror(errno)})"


def os_reason(exc: OSError) -> str:
    """Return an OSError's reason as text, with the error's name where it has a number.

    >>> os_reason(OSError(28, "No space left on device")), os_reason(OSError("closed"))
    ('ENOSPC (No space left on device)', 'closed')
    """
    return errno_text(exc.errno) if exc.errno else str(exc)


def storage_error(exc: OSError, path: Path, remedy: str = "") -> StorageError:
    """Return the one line for a result that could not be written.

    >>> from pathlib import Path
    >>> storage_error(OSError(28, "No space left on device"), Path("run/summary.json"), "is the disk full?")
    StorageError('cannot write run/summary.json: ENOSPC (No space left on device); is the disk full?')
    """
    return StorageError(f"cannot write {exc.filename or path}: {os_reason(exc)}" + (f"; {remedy}" if remedy else ""))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest valid spelling, or the list of candidates when none is near.

    >>> nearest("durration", ["duration", "rate"])
    "; did you mean 'duration'?"
    >>> nearest("zzz", ["rate", "size"])
    '; known: rate, size'
    """
    import difflib  # only a mistake needs it

    known = sorted(candidates)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
