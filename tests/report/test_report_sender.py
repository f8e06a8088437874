"""What a run that only sent says of itself: its packets, not that nothing was received."""

from pathlib import Path

import msgspec
import pytest
import summary_samples as samples

from harness.cli import main
from harness.model import Attribution, Distribution, Parameters, SenderSummary, Summary
from harness.plots.wording import is_loss, windows_text
from harness.report import headline, status

SENDER = SenderSummary(
    stream_id=1,
    epoch=7,
    source="10.0.0.1:5004",
    group="239.1.2.3:5000",
    scheduled=2_500,
    sent=2_500,
    refused=0,
    not_sent=0,
    errnos={},
    lateness=Distribution(n=0),
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Sent: 2,500 packets sent to 239.1.2.3:5000."),
        (
            {"sent": 2_000, "refused": 500, "errnos": {"EPERM": 400, "ENOBUFS": 100}},
            "Found: 2,000 of 2,500 packets sent to 239.1.2.3:5000, 500 refused (ENOBUFS, EPERM).",
        ),
        (
            {"sent": 2_400, "not_sent": 100},
            "Found: 2,400 of 2,500 packets sent to 239.1.2.3:5000, 100 not handed to the system.",
        ),
    ],
)
def test_verdict_of_a_sender_is_about_sending(changes: dict[str, object], expected: str) -> None:
    sender = msgspec.structs.replace(SENDER, **changes)
    assert headline(Summary(parameters=Parameters(), streams=[], senders=[sender])) == expected


def test_verdict_of_several_streams_counts_them() -> None:
    summary = Summary(parameters=Parameters(), streams=[], senders=[SENDER, SENDER])
    assert (status(summary), headline(summary)) == ("sent", "Sent: 5,000 packets sent in 2 streams.")


def test_report_of_a_sender_draws_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "tx"
    line = ["send", "239.255.89.1:5089", "--interface", "127.0.0.1", "--rate", "1kpps", "--count", "50"]
    assert main([*line, "--output", str(run)]) == 0
    assert capsys.readouterr().out.startswith("Sent: 50 packets sent to 239.255.89.1:5089.")
    assert not (run / "plots").exists()
    for name in ("report.html", "report.md"):
        text = (run / name).read_text()
        assert "Sent" in text
        assert "sender's own account" in text.replace("&#39;", "'")
        assert "Drop-out windows" not in text
        assert "Pictures" not in text


def test_group_that_nobody_may_have_sent_to_is_not_called_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "rx"
    line = ["receive", "239.255.89.2:5089", "--interface", "127.0.0.1", "--duration", "200ms"]
    assert main([*line, "--output", str(run)]) == 0
    summary = msgspec.json.decode((run / "summary.json").read_bytes(), type=Summary)
    (window,) = summary.streams[0].windows
    assert (window.kind, window.packets) == ("never_received", None)
    assert not is_loss(window)
    assert windows_text([window]).startswith("1 window of")


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ({"own_buffer": 1_200}, "4 % lost (1,200); all of them dropped by this host's own receive buffer; the longest"),
        ({"not_sent": 442, "network": 758}, "4 % lost (1,200); 442 of them never sent; the longest"),
        ({"network": 1_200}, "4 % lost (1,200); the longest"),
    ],
)
def test_verdict_says_what_was_not_the_networks(account: dict[str, int], says: str) -> None:
    summary = samples.SAMPLES["periodic"]()
    (stream,) = summary.streams
    stream = msgspec.structs.replace(stream, attribution=Attribution(**account))
    assert says in headline(msgspec.structs.replace(summary, streams=[stream]))


def test_verdict_names_packets_refused_beside_streams_that_arrived() -> None:
    summary = samples.SAMPLES["single"]()
    refusing = msgspec.structs.replace(SENDER, sent=2_400, refused=100, errnos={"ECONNREFUSED": 100})
    summary = msgspec.structs.replace(summary, senders=[SENDER, refusing])
    assert status(summary) == "found"
    assert "; 100 packets refused at sending (ECONNREFUSED)" in headline(summary)
