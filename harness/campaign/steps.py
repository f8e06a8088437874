"""The steps of a boot, each carried out to its end or its limit; what prevents one is a sentence, not an exception."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.campaign.plan import Resolved, recording_of, step_text
from harness.errors import HarnessError, UsageError
from harness.model import parse_endpoint
from harness.model.boots import StepResult
from harness.model.campaign import Command, Doctor, Note, Receive, Sleep, Step, Wait, WaitForLink
from harness.model.campaign_text import is_timed, step_kind
from harness.model.scenario import Scenario
from harness.net import check_usable, find_interface, list_interfaces
from harness.run import Outcome, is_distributed, perform
from harness.store import open_run
from harness.units import NS_PER_S, parse_duration

_POLL_S = 0.1
_ANY_GROUP = parse_endpoint("239.255.255.250:1900")
"""Stands for any group where an interface is asked whether it can carry one; nothing is sent there."""

_SLEEP = {
    "linux": ("rtcwake", "-m", "mem", "-s", "{seconds}"),
    "darwin": ("sh", "-c", "pmset relative wake {seconds} && pmset sleepnow"),
}


class Interruption:
    """Whether somebody wants the boot to end now; "" while nobody does. Set by signals, asked between waits."""

    def __init__(self) -> None:
        self.pause = ""

    def wait(self, seconds: float) -> bool:
        """Wait; return whether it was interrupted."""
        end_s = time.monotonic() + seconds
        while not self.pause and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
        return bool(self.pause)


@dataclass
class Stage:
    """What steps need: the campaign, the boot's directory, and what is still running for it.

    Attributes:
      running: commands that are kept to the end of the boot.
    """

    resolved: Resolved
    directory: Path
    interruption: Interruption
    command: Sequence[str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def close(self) -> None:
        """End what the boot left running."""
        for process in self.running:
            with contextlib.suppress(OSError):
                process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()


def carry_out(
    stage: Stage, steps: list[Step], on_step: Callable[[int, str], None], on_result: Callable[[StepResult], None]
) -> str:
    """Carry the steps of a boot out; return why the boot could not run to its end, "" when it did.

    Args:
      stage: of this boot.
      steps: with the variables filled in; the reboot is not for here.
      on_step: called before each with its place, from 1, and a few words.
      on_result: called after each.
    """
    for place, step in enumerate(steps):
        if is_timed(step) or step_kind(step) == "reboot":
            continue  # part of the recording above, and the campaign's own business
        on_step(place + 1, step_text(step))
        begin_ns = time.time_ns()
        result = _one(stage, steps, place)
        on_result(
            StepResult(
                kind=step_kind(step),
                begin_ns=begin_ns,
                end_ns=time.time_ns(),
                error=result.error,
                run=result.run,
                witnesses=result.witnesses,
                link_up_ns=result.link_up_ns,
            )
        )
        if result.error is not None:
            return f"step {place + 1}, {step_text(step)}: {result.error}"
        if stage.interruption.pause:
            return f"broken off in step {place + 1}, {step_text(step)}"
    return ""


@dataclass(frozen=True, slots=True)
class _Done:
    error: str | None = None
    run: str | None = None
    witnesses: list[str] = field(default_factory=list)
    link_up_ns: int | None = None


def _one(stage: Stage, steps: list[Step], place: int) -> _Done:
    step = steps[place]
    try:
        if isinstance(step, WaitForLink):
            return _wait_for_link(stage, step)
        if isinstance(step, Doctor):
            check_usable(find_interface(step.interface), _ANY_GROUP)
        elif isinstance(step, Receive):
            return _receive(stage, steps, place)
        elif isinstance(step, Wait):
            stage.interruption.wait(parse_duration(step.duration) / NS_PER_S)
        elif isinstance(step, Sleep):
            return _Done(_sleep(step))
        elif isinstance(step, Command):
            return _Done(_command(stage, step))
        else:
            assert isinstance(step, Note)  # its text stands in the journal by now
    except HarnessError as exc:
        return _Done(str(exc))
    return _Done()


def _wait_for_link(stage: Stage, step: WaitForLink) -> _Done:
    """Wait for the link; when it was up at once, nobody knows since when."""
    end_s = time.monotonic() + parse_duration(step.timeout) / NS_PER_S
    is_first = True
    while not stage.interruption.pause:
        if any(step.interface == interface.name and interface.is_up for interface in list_interfaces()):
            return _Done(link_up_ns=None if is_first else time.time_ns())
        if time.monotonic() >= end_s:
            known = ", ".join(interface.name for interface in list_interfaces())
            return _Done(f"no link within {step.timeout}; interfaces: {known}")
        is_first = False
        stage.interruption.wait(_POLL_S)
    return _Done()


def _run_of(scenario: Scenario) -> Callable[..., Outcome]:
    if not is_distributed(scenario):
        return perform
    from harness.run import perform_over_hosts

    return perform_over_hosts


def _receive(stage: Stage, steps: list[Step], place: int) -> _Done:
    recording = recording_of(stage.resolved, steps, place)
    name = "receive" if not (stage.directory / "receive").exists() else f"receive-{place + 1}"
    outcome = _run_of(recording.scenario)(
        recording.scenario,
        output=stage.directory / name,
        command=stage.command,
        asked={"campaign": stage.resolved.campaign.name},
        folder=Path(stage.resolved.folder),
    )
    if outcome.reason == "interrupted" and not stage.interruption.pause:
        stage.interruption.pause = _signal_of(stage.directory / name)  # the run took the signal for itself
    return _Done(outcome.error, name, list(recording.witnesses))


def _signal_of(run: Path) -> str:
    """Return whether a user or the system interrupted a run, by the signal that it noted."""
    try:
        events = open_run(run).events
    except HarnessError:
        return "interrupted"
    is_system = any(event.kind == "note" and event.text.startswith("SIGTERM") for event in events)
    return "terminated" if is_system else "interrupted"


def _sleep(step: Sleep) -> str | None:
    words = _SLEEP.get(sys.platform)
    if words is None:
        raise UsageError("no way is known to suspend this system and have it wake; use a command step")
    seconds = max(1, parse_duration(step.duration) // NS_PER_S)
    return _run([word.format(seconds=seconds) for word in words], seconds + 60)


def _command(stage: Stage, step: Command) -> str | None:
    log = stage.directory / f"command-{len(list(stage.directory.glob('command-*.log'))) + 1}.log"
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(step.run, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    except OSError as exc:
        return f"{step.run[0]} cannot be started: {exc.strerror}"
    stage.running.append(process)
    if step.keep:
        return None
    end_s = time.monotonic() + parse_duration(step.timeout) / NS_PER_S
    while process.poll() is None and time.monotonic() < end_s:
        if stage.interruption.wait(0.02):
            return None
    if process.poll() is None:
        process.kill()
        process.wait()
        return f"not done within {step.timeout}; its output is in {log.name}"
    stage.running.remove(process)
    return f"ended with {process.returncode}; its output is in {log.name}" if process.returncode else None


def _run(words: Sequence[str], limit_s: float) -> str | None:
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"{words[0]} is not done after {limit_s:.0f} s"
    except OSError as exc:
        return f"{words[0]} cannot be started: {exc.strerror}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else f"{words[0]} ended with {done.returncode}: {said[-1] if said else ''}"
