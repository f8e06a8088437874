"""One session of a campaign: its directory locked, its journal opened, its file held against it, the loop run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from harness.campaign import directory as layout
from harness.campaign.driver import Driver, Ending
from harness.campaign.journal import FileMedium, Journal
from harness.campaign.lock import Lock
from harness.campaign.machine import Machine, Say
from harness.campaign.plan import Resolved, load
from harness.campaign.reboot import LocalRebooter, Rebooted, Rebooter, RemoteRebooter, SshRebooter
from harness.errors import HostError, UsageError
from harness.evidence import boot_id

WAIT_S = 2.0
"""A unit whose launcher is not next looks again after this."""


@dataclass
class Asked:
    """What the user, or a unit, asked for.

    Attributes:
      directory: of the campaign. command: the command line that repeats it. say: takes a line for the user.
      launcher: by whom this program was started, as the matrix calls it; None: it runs whatever is next.
      is_unattended: started by a unit and not by a person.
      accepts_change: go on with a campaign file that has changed.
      rebooter: for tests, and for whoever can reboot something else; None: this machine, or the file's host.
    """

    directory: Path
    command: Sequence[str]
    say: Say
    launcher: str | None = None
    is_unattended: bool = False
    accepts_change: bool = False
    rebooter: Rebooter | None = None


def create(source: Path, directory: Path) -> Resolved:
    """Make a campaign's directory, with the first record in its journal, and return what it says.

    Raises:
      ScenarioError: the file cannot be read, or says what cannot be.
      UsageError: a campaign was begun there.
      StorageError: it cannot be written.
    """
    resolved = load(source)
    sha256 = layout.create(directory, resolved)
    lock = Lock(directory / layout.LOCK, boot_id())
    try:
        with _journal(directory) as journal:
            if journal.state.seq:
                raise UsageError(
                    f"{directory} holds a campaign that has begun; see harness campaign status {directory}"
                )
            journal.write(
                boot_id=boot_id(),
                kind="created",
                sha256=sha256,
                source=str(source.resolve()),
                text=resolved.campaign.name,
            )
    finally:
        lock.close()
    return resolved


def go_on(asked: Asked) -> Ending:
    """Run a campaign from where its journal stands.

    With a launcher it waits while another launcher's boot is next, or under way.

    Raises:
      UsageError: no campaign there, another instance runs it, or its file has changed.
      RecordError: its journal is damaged.
      StorageError: its journal cannot be written.
    """
    layout.check_is_campaign(asked.directory)
    while True:
        try:
            ending = _session(asked)
        except _BusyError as exc:
            if not (asked.is_unattended and asked.launcher):
                raise UsageError(str(exc)) from exc
            ending = Ending("other launcher", str(exc))
        if ending.end != "other launcher" or not asked.is_unattended:
            return ending
        time.sleep(WAIT_S)


class _BusyError(UsageError):
    """Another instance runs the campaign."""


def _session(asked: Asked) -> Ending:
    try:
        lock = Lock(asked.directory / layout.LOCK, boot_id())
    except UsageError as exc:
        raise _BusyError(str(exc)) from exc
    try:
        with _journal(asked.directory) as journal:
            here = boot_id()
            if not journal.state.seq:
                raise UsageError(f"{asked.directory} was never begun; start it anew: harness campaign start FILE")
            resolved, notes = layout.agreed(asked.directory, journal, here, accepts_change=asked.accepts_change)
            if journal.torn:
                notes.append(f"the journal's last line was torn ({journal.torn} bytes) and cut off")
            for note in [*notes, *([lock.stale] if lock.stale else [])]:
                asked.say(note)
            remote = resolved.campaign.host[0] if resolved.campaign.host else None
            rebooter = asked.rebooter or (SshRebooter(remote) if remote else LocalRebooter())
            name = remote.name if remote else "the machine"
            boot = _RemoteBoot(rebooter, name) if isinstance(rebooter, RemoteRebooter) else None
            machine = Machine(
                asked.directory,
                resolved,
                journal,
                asked.command,
                boot or rebooter,
                asked.say,
                boot_id=boot.boot_id if boot else boot_id,
                remote=name if boot else "",
                launcher=asked.launcher,
                is_unattended=asked.is_unattended,
            )
            with machine.signals():
                return Driver(resolved.campaign, journal, machine).run()
    finally:
        lock.close()


class _RemoteBoot:
    """A remote host's boot id, asked for once and after each reboot."""

    def __init__(self, rebooter: RemoteRebooter, name: str) -> None:
        self._rebooter, self._name = rebooter, name
        self._known: str | None = None

    def boot_id(self) -> str:
        """Return the boot that the host is in.

        Raises:
          HostError: it does not answer.
        """
        if self._known is None:
            self._known = trio.run(self._rebooter.boot_id)
        if self._known is None:
            raise HostError(self._name, "it does not tell its boot id; is it up, is your ssh key there?")
        return self._known

    async def reboot(self, boot_id: str) -> Rebooted:
        """Reboot it."""
        came = await self._rebooter.reboot(boot_id)
        if came.boot_id:
            self._known = came.boot_id
        return came


@contextlib.contextmanager
def _journal(directory: Path, clock_ns: Callable[[], int] = time.time_ns) -> Iterator[Journal]:
    medium = FileMedium(directory / layout.JOURNAL)
    try:
        yield Journal(medium, clock_ns, str(directory / layout.JOURNAL))
    finally:
        medium.close()
