"""Units on the system: written, enabled, disabled and taken away without a trace; shown first."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import cast

from harness.campaign.units import Job, Unit, launchd, made_directories, systemd, windows
from harness.campaign.units.job import Scope
from harness.errors import StorageError, UsageError, os_reason, storage_error
from harness.store.atomic import write_atomically

Execute = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command and returns its exit code and what it says on stderr."""

_RENDERERS: dict[str, Callable[[Job], Unit]] = {"linux": systemd.unit, "darwin": launchd.unit, "win32": windows.unit}


@dataclass(frozen=True)
class System:
    """Where units go; another root for the tests.

    Attributes:
      platform: as sys.platform. root: stands for "/". execute: runs the system's commands.
    """

    platform: str = sys.platform
    root: Path = Path("/")
    execute: Execute = field(default=lambda command: _execute(command))
    user: str = field(default_factory=getpass.getuser)
    uid: int = field(default_factory=lambda: os.getuid() if hasattr(os, "getuid") else 0)
    home: PurePath = field(default_factory=Path.home)
    python: str = sys.executable

    def real(self, path: PurePath) -> Path:
        """Return where a path of the system really lies."""
        return Path(path) if self.root == Path("/") else self.root / Path(*path.parts[1:])


@dataclass(frozen=True)
class InstallPlan:
    """What install would do, and what uninstall would undo."""

    system: System
    jobs: tuple[Job, ...]

    @property
    def units(self) -> list[Unit]:
        """The units, each as it would be written now."""
        return [_RENDERERS[self.system.platform](job) for job in self.jobs]

    def text(self, *, is_removal: bool = False) -> str:
        """Return all of it for the user to read."""
        lines = []
        for unit in self.units:
            if is_removal:
                lines += [f"run     {' '.join(command)}" for command in unit.disable]
                lines += [f"remove  {unit.path}"]
                lines += [f"run     {' '.join(command)}" for command in unit.forget]
                continue
            encoding = "utf-16" if self.system.platform == "win32" else "utf-8"
            lines += [f"write   {unit.path}", *(f"  | {line}" for line in unit.content.decode(encoding).splitlines())]
            lines += [f"run     {' '.join(command)}" for command in unit.enable]
            lines += [f"note    {note}" for note in unit.notes]
        return "\n".join(lines)


def plan_install(
    name: str, directory: PurePath, scopes: Sequence[str], *, launcher: str | None = None, system: System | None = None
) -> InstallPlan:
    """Return what install would do; nothing is written.

    Args:
      name: of the campaign.
      directory: of the campaign, absolute.
      scopes: "system", "user" or both; with both, each is the launcher of its own name.
      launcher: what the matrix calls the one unit.
      system: where to; None for this one.

    Raises:
      UsageError: this system has no way that is known, or one launcher cannot be two units.
    """
    system = system or System()
    if system.platform not in _RENDERERS:
        raise UsageError(f"no way is known to start a program after boot on {system.platform}; resume by hand")
    if launcher is not None and len(scopes) > 1:
        raise UsageError("--both makes two launchers, system and user; leave --launcher out")
    resume = (system.python, "-m", "harness", "campaign", "resume", str(directory), "--unattended")
    jobs = []
    for scope in scopes:
        called = launcher or (scope if len(scopes) > 1 else None)
        command = (*resume, "--launcher", called) if called else resume
        job = Job(name, directory, command, cast(Scope, scope), system.user, system.uid, system.home)
        path = system.real(_RENDERERS[system.platform](job).path)
        jobs.append(replace(job, n_made=len(_missing(path.parent))))
    return InstallPlan(system, tuple(jobs))


def put(plan: InstallPlan) -> None:
    """Write and enable every unit; one that cannot be enabled is taken away again.

    Raises:
      UsageError: a unit is there already, or the system refuses to enable it.
      StorageError: it cannot be written.
    """
    system = plan.system
    for job, unit in zip(plan.jobs, plan.units, strict=True):
        path = system.real(unit.path)
        if path.exists():
            raise UsageError(f"{unit.path} exists; harness campaign uninstall {job.name} takes it away first")
        try:
            if system.platform == "darwin":  # launchd writes its log into the campaign's directory
                system.real(job.directory).mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, unit.content)
            path.chmod(0o644)
        except OSError as exc:
            remedy = "it takes root; or use --user" if job.scope == "system" else "is the directory yours?"
            raise storage_error(exc, path, remedy) from exc
        for command in unit.enable:
            code, said = system.execute(command)
            if code:
                _remove(system, unit)
                raise UsageError(f"{' '.join(command)} ended with {code}: {said}; nothing was left of {unit.path}")


def take_away(plan: InstallPlan) -> None:
    """Disable and remove every unit; one that is not there is no error, so that a half of it can be undone.

    Raises:
      StorageError: it cannot be removed.
    """
    for unit in plan.units:
        _remove(plan.system, unit)


def _remove(system: System, unit: Unit) -> None:
    path = system.real(unit.path)
    if not path.exists():
        return
    for command in unit.disable:
        system.execute(command)  # what was never enabled need not be disabled
    try:
        n_made = made_directories(path.read_bytes())
        path.unlink()
        for folder in list(path.parents)[:n_made]:
            with contextlib.suppress(OSError):  # somebody else put something there meanwhile
                folder.rmdir()
    except OSError as exc:
        raise StorageError(f"cannot remove {path}: {os_reason(exc)}; it takes the rights of who installed it") from exc
    for command in unit.forget:
        system.execute(command)


def _missing(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _execute(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return 127, str(exc)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return done.returncode, said[-1] if said else ""
