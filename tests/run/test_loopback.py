"""Whole runs over real sockets on loopback: what a scenario says is what happens and what the summary shows."""

from collections.abc import Callable

import pytest

from harness.errors import InterfaceError, UsageError
from harness.model import Summary
from harness.model.scenario_text import parse_scenario
from harness.run import Outcome, resolve
from harness.store import open_run

PerformText = Callable[[str], tuple[Outcome, Summary]]


def stream(group: str, **changes: object) -> str:
    settings = {"group": group, "interface": "127.0.0.1", "rate": "500pps", "duration": "600ms", **changes}
    lines = [f"{key} = {value!r}".replace("'", '"').replace("True", "true") for key, value in settings.items()]
    return "\n".join(["[[stream]]", *lines]) + "\n"


def receiver(*groups: str, **changes: object) -> str:
    settings = {"groups": list(groups), "interface": "127.0.0.1", **changes}
    return (
        "\n".join(["[[receiver]]", *(f"{key} = {value!r}".replace("'", '"') for key, value in settings.items())]) + "\n"
    )


HEAD = 'linger = "100ms"\n'


@pytest.mark.parametrize(
    ("group", "source"),
    [
        ("239.255.79.1:5079", None),
        ("232.79.0.1:5079", "SELF"),
        ("127.0.0.1:5079", None),
        ("[::1]:5079", None),
    ],
)
def test_every_kind_of_destination_is_received_whole(perform_text: PerformText, group: str, source: str | None) -> None:
    changes: dict[str, object] = {}
    if source:
        changes["source"] = own_source()
    _, summary = perform_text(HEAD + stream(group) + receiver(group, **changes))
    (heard,) = summary.streams
    assert (heard.group, heard.expected, heard.received, heard.lost, heard.duplicates) == (group, 300, 300, 0, 0)
    assert heard.interface == "lo"
    assert heard.delay.minimum_ns is not None
    assert 0 <= heard.delay.minimum_ns < 100_000_000
    assert summary.senders[0].sent == 300


def own_source() -> str:
    """Return the source address that the kernel gives a sender on loopback multicast here."""
    from harness.model import parse_endpoint
    from harness.net import open_sender

    with open_sender(parse_endpoint("232.79.0.1:5079"), interface="lo") as socket:
        return str(socket.local.address)


def test_source_that_is_not_wanted_is_not_heard_and_not_called_loss(perform_text: PerformText) -> None:
    group = "232.79.0.2:5079"
    _, summary = perform_text(HEAD + stream(group) + receiver(group, source="127.0.0.99"))
    (silent,) = summary.streams
    assert (silent.received, silent.lost) == (0, None)
    assert [window.kind for window in silent.windows] == ["never_received"]


def test_leave_and_join_make_one_window_that_long(perform_text: PerformText) -> None:
    group = "239.255.79.3:5079"
    events = '[[event]]\nat = "300ms"\naction = "leave"\n[[event]]\nat = "700ms"\naction = "join"\n'
    outcome, summary = perform_text(HEAD + stream(group, duration="1s") + receiver(group) + events)
    (window,) = summary.streams[0].windows
    assert window.kind == "mid_run"
    assert window.duration_ns == pytest.approx(400_000_000, abs=60_000_000)
    kinds = [event.kind for event in open_run(outcome.path).events]
    assert kinds.count("leave") == 1
    assert kinds.count("join") == 2


def test_reopened_socket_goes_on_with_the_same_stream(perform_text: PerformText) -> None:
    group = "239.255.79.4:5079"
    event = '[[event]]\nat = "300ms"\naction = "reopen"\n'
    outcome, summary = perform_text(HEAD + stream(group, duration="1s") + receiver(group) + event)
    (heard,) = summary.streams
    assert heard.expected == 500
    assert heard.received >= 490
    assert "reopen" in [event.kind for event in open_run(outcome.path).events]


def test_receiver_that_joins_late_sees_a_late_start_from_its_join_on(perform_text: PerformText) -> None:
    group = "239.255.79.5:5079"
    _, summary = perform_text(HEAD + stream(group, duration="1s") + receiver(group, start="500ms"))
    (heard,) = summary.streams
    assert heard.received == pytest.approx(250, abs=30)
    assert heard.lost is not None
    assert heard.lost <= 10


def test_stream_that_nobody_hears_is_reported_never_received(perform_text: PerformText) -> None:
    _, summary = perform_text(
        HEAD
        + stream("239.255.79.6:5079")
        + stream("239.255.79.7:5079")
        + receiver("239.255.79.6:5079", "239.255.79.8:5079")
    )
    kinds = {stream.group: [window.kind for window in stream.windows] for stream in summary.streams}
    assert kinds == {"239.255.79.6:5079": [], "239.255.79.8:5079": ["never_received"]}


def test_group_of_another_program_is_misdelivered_never_loss(perform_text: PerformText) -> None:
    joined, other = "239.255.79.9:5080", "239.255.79.10:5080"
    text = HEAD + stream(joined) + stream(other) + receiver(joined, name="a") + receiver(other, name="b")
    _, summary = perform_text(text)
    assert {(stream.receiver, stream.group, stream.lost) for stream in summary.streams} == {
        ("a", joined, 0),
        ("b", other, 0),
    }


def test_two_receivers_of_one_group_each_hear_all(perform_text: PerformText) -> None:
    group = "239.255.79.11:5079"
    _, summary = perform_text(HEAD + stream(group) + receiver(group, name="a") + receiver(group, name="b"))
    assert sorted((stream.receiver, stream.received) for stream in summary.streams) == [("a", 300), ("b", 300)]


def test_schedule_from_a_file_is_sent_to_its_end(
    perform_text: PerformText, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("schedule") / "offsets.txt"
    path.write_text("".join(f"{k * k}ms\n" for k in range(20)))
    group = "239.255.79.12:5079"
    _, summary = perform_text(HEAD + stream(group, schedule=f"file:{path}") + receiver(group))
    assert (summary.streams[0].expected, summary.streams[0].received) == (20, 20)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (stream("239.1.2.3:5000", size="63"), UsageError, "64 to 65507"),
        (stream("239.1.2.3:5000", size="65508"), UsageError, "64 to 65507"),
        (stream("239.1.2.3:5000", interface="nope0"), InterfaceError, "nope0"),
        (stream("239.1.2.3:5000", ttl=256), UsageError, "from 0"),
        (stream("239.1.2.3:5000", dscp=64), UsageError, "0 to 63"),
        (stream("239.1.2.3:5000", count=0), UsageError, "at least 1"),
        (receiver("239.1.2.3:5000", source="::1"), UsageError, "different IP versions"),
        (receiver("127.0.0.1:5000", source="127.0.0.1"), UsageError, "only a multicast group"),
        (receiver("239.1.2.3:5000", "239.1.2.3:5000"), UsageError, "named twice"),
        ('[[receiver]]\ngroups = ["[ff15::1]:5000"]\n', InterfaceError, "name it with --interface"),
        (stream("239.1.2.3:5000", stream=1) * 2, UsageError, "two streams with id 1"),
    ],
)
def test_impossible_plan_is_refused_before_anything_is_sent(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        resolve(parse_scenario(text, "x.toml"))
    assert "\n" not in str(raised.value)


def test_event_after_the_end_of_the_run_is_said_to_never_happen() -> None:
    event = '[[event]]\nat = "5s"\naction = "reopen"\n'
    plan = resolve(parse_scenario('duration = "2s"\n' + receiver("239.255.79.13:5079") + event, "x.toml"))
    assert [note for note in plan.notes if "never happens" in note] == [
        "the event reopen at 5 s never happens: the run ends before it"
    ]
