"""A campaign's directory: what lies where, how it is made, and how the campaign file is held against it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from harness.campaign.journal import Journal
from harness.campaign.plan import Resolved, digest, load
from harness.errors import RecordError, StorageError, UsageError, os_reason, storage_error
from harness.store.atomic import sync_directory, write_whole
from harness.store.documents import write_document

JOURNAL, LOCK, CANCEL, NOTES = "journal.jsonl", "lock", "cancel", "notes"
BOOTS, PLOTS = "boots", "plots"
BOOT, ENVIRONMENT, MEASURES, SUMMARY = "boot.json", "environment.json", "measures.json", "campaign.json"


def boot_path(directory: Path, number: int) -> Path:
    """Return the directory of a boot.

    >>> boot_path(Path("results/x"), 7).as_posix()
    'results/x/boots/0007'
    """
    return directory / BOOTS / f"{number:04d}"


def _said_path(directory: Path, sha256: str) -> Path:
    return directory / f"said-{sha256[:12]}.json"


def create(directory: Path, resolved: Resolved) -> str:
    """Make the directory of a campaign and return the digest of what it says.

    Making it anew over one whose journal was never begun is fine: nothing was done there.

    Raises:
      UsageError: a campaign was begun there.
      StorageError: it cannot be made.
    """
    journal = directory / JOURNAL
    try:
        if journal.exists() and journal.stat().st_size:
            raise UsageError(
                f"{directory} holds a campaign that has begun: go on with harness campaign resume {directory}, "
                "or name another directory with --output"
            )
        directory.mkdir(parents=True, exist_ok=True)
        (directory / BOOTS).mkdir(exist_ok=True)
        sync_directory(directory.parent)
    except OSError as exc:
        raise storage_error(exc, directory, "name a directory that you may write with --output") from exc
    return keep(directory, resolved)


def keep(directory: Path, resolved: Resolved) -> str:
    """Store what a campaign says under its digest, and return that.

    Raises:
      StorageError: it cannot be written.
    """
    sha256 = digest(resolved)
    write_document(_said_path(directory, sha256), resolved, "is the disk full?")
    return sha256


def stored(directory: Path, sha256: str) -> Resolved:
    """Return what the journal's digest stands for.

    Raises:
      RecordError: the file is missing, was edited or is damaged.
    """
    path = _said_path(directory, sha256)
    try:
        resolved = msgspec.json.decode(path.read_bytes(), type=Resolved)
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}; the journal refers to it") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise RecordError(f"{path} is damaged: {exc}; take it from a backup") from exc
    if digest(resolved) != sha256:
        raise RecordError(f"{path} was edited; edit the campaign file and use --accept-change instead")
    return resolved


def check_is_campaign(directory: Path) -> None:
    """Refuse a directory that holds no campaign.

    Raises:
      UsageError: it does not.
    """
    if not (directory / JOURNAL).is_file():
        raise UsageError(
            f"{directory} holds no campaign ({JOURNAL} is missing); start one: harness campaign start FILE"
        )


def agreed(directory: Path, journal: Journal, boot_id: str, *, accepts_change: bool) -> tuple[Resolved, list[str]]:
    """Return what the campaign says, with notes, after holding the campaign file against the journal.

    A file that is gone, or cannot be read any more, does not stop a campaign that is under way.

    Args:
      directory: of the campaign.
      journal: of it, with its first record.
      boot_id: of this boot, for the record of a change.
      accepts_change: whether a changed file is taken over, and journalled.

    Raises:
      UsageError: the file has changed, and nobody accepted that.
      RecordError: the stored campaign is missing or damaged.
    """
    state = journal.state
    source = Path(state.source)
    if not source.is_file():
        if accepts_change:
            raise UsageError(f"campaign file {source} is not there, so no change of it can be accepted")
        return stored(directory, state.sha256), [f"campaign file {source} is not there; going on with what it said"]
    now = load(source)
    if digest(now) == state.sha256:
        return now, []
    if not accepts_change:
        raise UsageError(
            f"{source} has changed since boot {state.next_number}; put it back, or go on with the new one: "
            f"harness campaign resume {directory} --accept-change"
        )
    sha256 = keep(directory, now)
    journal.write(boot_id=boot_id, kind="accepted", sha256=sha256, source=str(source), text="changed file accepted")
    return now, [f"the changed {source} was accepted"]


def ask_to_cancel(directory: Path) -> None:
    """Leave word that the next reboot is not to happen.

    Raises:
      StorageError: it cannot be written.
    """
    write_whole(directory / CANCEL, b"")


def take_cancel(directory: Path) -> bool:
    """Return whether word was left to call the reboot off, and take it away.

    Raises:
      StorageError: it cannot be taken away.
    """
    path = directory / CANCEL
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise StorageError(f"cannot remove {path}: {os_reason(exc)}") from exc
    return True


def leave_note(directory: Path, text: str, now_ns: int) -> None:
    """Leave a note, which whoever runs the campaign takes into the journal.

    Raises:
      StorageError: it cannot be written.
    """
    write_whole(directory / NOTES / f"{now_ns:020d}.txt", text.encode(), "is the disk full?", has_folder=False)


def take_notes(directory: Path) -> list[str]:
    """Return the notes that were left, in their order, and take them away; one that cannot be read stays."""
    texts = []
    for path in sorted((directory / NOTES).glob("*.txt")):
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
            texts.append(text)
    return texts
