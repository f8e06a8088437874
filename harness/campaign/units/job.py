"""What is to be started, and the unit that a system gets for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Scope = Literal["system", "user"]

_MADE = re.compile(r"made-directories: (\d+)")


@dataclass(frozen=True, slots=True)
class Job:
    """One start of the program after each boot.

    Attributes:
      name: of the campaign.
      directory: of the campaign, absolute, as it is on the system.
      command: that resumes it.
      scope: for the system, as root, or for a user.
      user: his name; uid: his number, where systems have them; home: his home directory.
      n_made: directories that had to be made for the unit, innermost last; `uninstall` takes as many away.
    """

    name: str
    directory: PurePath
    command: tuple[str, ...]
    scope: Scope
    user: str
    uid: int
    home: PurePath
    n_made: int = 0

    @property
    def remark(self) -> str:
        """What the unit says of its own making, for `uninstall`."""
        return f"made-directories: {self.n_made}"


@dataclass(frozen=True, slots=True)
class Unit:
    """A file, and the commands that make the system heed it, and forget it.

    Attributes:
      path: absolute. content: of the file.
      enable: commands after it was written. disable: before it is removed. forget: after.
      notes: what the user should know.
    """

    path: PurePath
    content: bytes
    enable: tuple[tuple[str, ...], ...]
    disable: tuple[tuple[str, ...], ...]
    forget: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def made_directories(content: bytes) -> int:
    """Return how many directories were made for a unit, as it says itself; 0 when it does not.

    >>> made_directories(b"# made-directories: 2")
    2
    """
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")
    found = _MADE.search(text)
    return int(found.group(1)) if found else 0
