"""An event that cannot be done is an event of its own; the run and the other receivers go on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import InterfaceError
from harness.model import Membership, Summary
from harness.net import ReceiverSocket
from harness.net import open_receiver as really_open
from harness.run import Outcome

PerformText = Callable[[str], tuple[Outcome, Summary]]

TRAFFIC = """
linger = "100ms"
[[stream]]
group = "239.255.90.1:5090"
interface = "127.0.0.1"
rate = "500pps"
duration = "900ms"
[[receiver]]
name = "a"
groups = ["239.255.90.1:5090"]
interface = "127.0.0.1"
start = "START"
"""


def event(at: str, action: str, **more: str) -> str:
    return "[[event]]\n" + "".join(
        f'{key} = "{value}"\n' for key, value in {"at": at, "action": action, **more}.items()
    )


@pytest.mark.parametrize("action", ["reopen", "leave", "join"])
def test_event_before_the_start_of_its_receiver_is_refused_alone(action: str, perform_text: PerformText) -> None:
    more = {} if action == "reopen" else {"group": "239.255.90.1:5090"}
    text = TRAFFIC.replace("START", "400ms") + event("100ms", action, receiver="a", **more)
    outcome, summary = perform_text(text)
    assert outcome.error is None
    (refusal,) = [one.text for one in summary.events if one.kind == "errno"]
    assert "has not started yet" in refusal
    (stream,) = summary.streams
    assert stream.received > 100


def test_reopening_that_fails_is_tried_again_by_the_next(
    perform_text: PerformText, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = 0

    def open_receiver(memberships: Sequence[Membership], **options: object) -> list[ReceiverSocket]:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise InterfaceError("no network interface 'usb0'")
        return list(really_open(memberships, **options))  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr("harness.run.receiving.open_receiver", open_receiver)
    outcome, summary = perform_text(
        TRAFFIC.replace("START", "0s") + event("200ms", "reopen") + event("500ms", "reopen")
    )
    assert outcome.error is None
    (refusal,) = [one.text for one in summary.events if one.kind == "errno"]
    assert refusal == "no network interface 'usb0'; nothing is received until a further reopening"
    (stream,) = summary.streams
    (window,) = stream.windows
    assert window.kind == "mid_run"
    assert 250_000_000 < window.duration_ns < 500_000_000


def test_schedule_from_a_file_ends_by_itself(tmp_path: Path, perform_text: PerformText) -> None:
    offsets = tmp_path / "offsets.txt"
    offsets.write_text("".join(f"{10 * k}ms\n" for k in range(20)))
    text = TRAFFIC.replace("START", "0s").replace('duration = "900ms"', f'schedule = "file:{offsets}"')
    _, summary = perform_text(text)
    assert [(stream.expected, stream.lost) for stream in summary.streams] == [(20, 0)]
