"""The campaign: what is done on every boot, in which variations, how often and until when, as written in TOML.

Quantities are strings with units, and every string of a step may hold a variable of the matrix, "{interface}".
`campaign_text` reads and checks them; what they mean at run time is decided in `harness.campaign`.
"""

from __future__ import annotations

import msgspec

from harness.model.scenario import Host, Scenario


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Something done on every boot."""


class WaitForLink(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wait_for_link"):
    """Wait until an interface is up; a boot whose link never came could not run."""

    interface: str
    timeout: str = "60s"


class Doctor(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="doctor"):
    """Ask whether this host can do multicast on an interface at all; a boot that is refused could not run."""

    interface: str


class Receive(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="receive"):
    """Record: a scenario (a file, or a table in its place), or groups on an interface.

    Attributes:
      scenario: path of a scenario file, from the campaign file's folder, or the scenario itself.
      groups, interface: instead of a scenario.
      duration: of the recording; overrides the scenario's.
      witnesses: kinds of witness beside every receiver, "second-socket", or names of receivers that are witnesses only.
    """

    scenario: str | Scenario | None = None
    groups: list[str] = []
    interface: str | None = None
    protocol: str = "probe"
    duration: str
    witnesses: list[str] = []


class Reopen(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reopen"):
    """Open the sockets anew, at a time after the start of the recording above it. `receiver`: see `TimedEvent`."""

    at: str
    receiver: str = ""


class Leave(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="leave"):
    """Leave groups, at a time after the start of the recording above it; `group` None: all."""

    at: str
    receiver: str = ""
    group: str | None = None


class Join(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="join"):
    """Join groups, at a time after the start of the recording above it; `group` None: all."""

    at: str
    receiver: str = ""
    group: str | None = None


class Note(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="note"):
    """Write a sentence: into the recording above it with `at`, into the journal without."""

    text: str
    at: str | None = None


class Wait(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wait"):
    """Do nothing for a while."""

    duration: str


class Sleep(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sleep"):
    """Suspend the machine and have it wake after `duration`; needs `allow_sleep`."""

    duration: str


class Command(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="command"):
    """A command of the user's own: program and arguments, no shell. One that fails or overruns means a boot not run.

    `keep` leaves it running to the end of the boot instead of waiting for it: an app under test.
    """

    run: list[str]
    timeout: str = "60s"
    keep: bool = False


class Reboot(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reboot"):
    """Reboot before the next boot; the last step, and never done after the campaign's last boot."""


Step = WaitForLink | Doctor | Receive | Reopen | Leave | Join | Note | Wait | Sleep | Command | Reboot
"""What a table [[step]] may be, told apart by its key `do`."""


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the campaign ends before its plan does; the first rule that holds.

    Attributes:
      first_reproduction: the fault was seen once. reproductions: that often.
      boots: so many boots were made, those that could not run included. time: so long after the start.
    """

    first_reproduction: bool = False
    reproductions: int | None = None
    boots: int | None = None
    time: str | None = None


class ReproducedWhen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a boot looks like that shows the fault; any one of those given is enough.

    Attributes:
      expect_failed: a limit in the scenario's [expect] failed. It is the criterion when no other is given.
      first_packet_after: a receiver's first packet came later than this after its join, or never.
      verdict: the first verdict of the diagnosis has this name.
    """

    expect_failed: bool | None = None
    first_packet_after: str | None = None
    verdict: str | None = None


class RemoteHost(Host, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host that this machine, which stays up, reboots over ssh.

    Attributes:
      reboot_command: what is run there.
      back_within: it hangs when it is not back after this.
    """

    reboot_command: list[str] = msgspec.field(default_factory=lambda: ["sudo", "-n", "systemctl", "reboot"])
    back_within: str = "10min"


class Campaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of boots.

    Attributes:
      name: of its directory under results/.
      allow_reboot: the user's word that this machine, or the remote host, may be rebooted. allow_sleep: or suspended.
      repeats: how often every combination of the matrix is tried.
      matrix: values of each variable by its name. "launcher" is special: only the unit installed for it runs the boot.
      seed: of the order of the boots.
      replacements: so many boots that could not run, crashed or hung are made up for at the end.
      countdown: how long a reboot can be called off. boot_limit: a boot that takes longer hangs; None: from the steps.
      back_within: a boot that begins later than this after the reboot hung before it.
      boot_time: what a reboot is taken to last, in the estimate of `harness campaign check`.
      min_free: no boot is begun with less room on the disk.
      host: at most one host, of kind "ssh", that is rebooted instead of this machine.
    """

    name: str
    description: str = ""
    allow_reboot: bool = False
    allow_sleep: bool = False
    repeats: int = 1
    seed: int = 1
    replacements: int = 0
    countdown: str = "10s"
    boot_limit: str | None = None
    back_within: str = "10min"
    boot_time: str = "60s"
    min_free: str = "100MB"
    matrix: dict[str, list[str]] = {}
    step: list[Step]
    stop: Stop = Stop()
    reproduced_when: ReproducedWhen = ReproducedWhen()
    host: list[RemoteHost] = []

    @property
    def has_reboot(self) -> bool:
        """Whether every boot of it is to be a boot of its own."""
        return any(isinstance(step, Reboot) for step in self.step)
