"""The reports: nothing fetched, nothing executed, nothing undefined as zero; the same bytes twice."""

from __future__ import annotations

import base64
import importlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.errors import StorageError
from harness.model import Clocks, End, Limit, Manifest, ReceiverInfo, SenderInfo, Summary, Verdict
from harness.plots import plot_summary
from harness.report import format_table, headline, status, write_report
from harness.report.markdown import LIMIT_BYTES, escape
from harness.report.tables import attribution_table, more, streams_table, windows_table

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")

EVIL = "<script>alert(1)</script>|$x$\n\x1b[31m@all `code` ](http://evil.example) ![x](http://evil.example/x.png)"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def manifest(**fields: Any) -> Manifest:
    given: dict[str, Any] = {
        "kind": "run",
        "created": "2026-07-14T12:00:00+00:00",
        "command": ["harness", "run", "my scenario.toml"],
        "asked": {"scenario": "my scenario.toml", "duration": "30s"},
        "versions": {"multicast-harness": "0.1.0", "system": "Debian GNU/Linux 12"},
        "host": "studio-7",
        "boot_id": "8e59",
        "clocks": Clocks(realtime_ns=samples.T0, monotonic_ns=5, rx_source="kernel", sync="chrony"),
        "receivers": [ReceiverInfo(name="rx-a", groups=["239.1.2.3:5000"], interface="eth0", buffer_granted=425_984)],
        "senders": [
            SenderInfo(
                stream=0, stream_id=1, epoch=77, group="239.1.2.3:5000", schedule="constant",
                first_due_ns=samples.T0, interval_ns=samples.MS, size=200, ttl=1,
            )
        ],
        "end": End(reason="done", t_ns=samples.T0 + 31 * samples.S),
        **fields,
    }  # fmt: skip
    return Manifest(**given)


ENVIRONMENT = {
    "version": 1,
    "host": "studio-7",
    "interfaces": {"eth0": {"mtu": 1500}},
    "routes": [{"dst": "224.0.0.0/4"}],
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def fake_plots(directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for stem in ("timeline", "loss"):
        for suffix, data in ((".png", PNG), (".svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')):
            path = directory / f"{stem}{suffix}"
            path.write_bytes(data)
            paths.append(path)
    return paths


def written(summary: Summary, directory: Path, **fields: Any) -> tuple[str, str]:
    plots = fake_plots(directory / "plots")
    given: dict[str, Any] = {"manifest": manifest(), "environment": ENVIRONMENT, "plots": plots, **fields}
    html, markdown = write_report(directory, summary, **given)
    assert (html.name, markdown.name) == ("report.html", "report.md")
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_page_is_whole_and_asks_the_network_for_nothing(name: str, tmp_path: Path) -> None:
    text, _ = written(samples.SAMPLES[name](), tmp_path)
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes), tag
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(key)
            if value is None:
                continue
            if tag == "a":
                assert value.startswith("#")
            else:
                kind, _, payload = value.partition(";base64,")
                assert kind in ("data:image/svg+xml", "data:image/png")
                assert base64.b64decode(payload, validate=True)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "Content-Security-Policy" in text


def test_real_pictures_are_inlined(tmp_path: Path) -> None:
    summary = samples.blackout()
    plots = plot_summary(summary, tmp_path / "plots", formats=["svg"])
    text, markdown = written(summary, tmp_path, plots=plots)
    images = [attributes for tag, attributes in Page(text).tags if tag == "img"]
    assert len(images) == 4
    first = base64.b64decode((images[0]["src"] or "").partition(";base64,")[2])
    assert first == (tmp_path / "plots" / "timeline.svg").read_bytes()
    assert markdown.count("](plots/") == 4


@pytest.mark.parametrize("name", ["blackout", "hostile", "empty"])
def test_the_same_summary_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    first = written(samples.SAMPLES[name](), tmp_path / "a" / "run")
    assert first == written(samples.SAMPLES[name](), tmp_path / "b" / "run")


def test_both_reports_say_everything_that_was_asked_for(tmp_path: Path) -> None:
    html, markdown = written(samples.blackout(), tmp_path)
    words = Page(html).words
    plain_markdown = markdown.replace("\\", "")
    for text in (words, plain_markdown):
        for wanted in (
            "1 drop-out window of 1.3 s (mid-run), in 1 of 2 streams",
            "the link of eth0 was down during the window",
            "2026-07-14 12:00:12.250",
            "12:00:13.550",
            "12,000 to 13,299",
            "own buffer",
            "not sent",
            "ENOBUFS 6",
            "no packet of the protocol: too short",
            "cannot be judged",
            "clock offset removed: 2.5 s",
            "torn tail: 3 records dropped",
            "Thresholds: Tmax none",
            "studio-7",
            "Debian GNU/Linux 12",
            "239.1.2.3:5000 on eth0",
            "200 bytes, every 1 ms",
            "harness run 'my scenario.toml'",
            "multicast-harness",
            "interfaces",
        ):
            assert wanted in text, wanted


def test_hostile_text_is_text_in_the_page(tmp_path: Path) -> None:
    evil = manifest(host=EVIL, command=[EVIL], asked={EVIL: EVIL}, versions={EVIL: EVIL},
                    receivers=[ReceiverInfo(name=EVIL, groups=[EVIL], interface=EVIL)])  # fmt: skip
    html, _ = written(samples.hostile(), tmp_path, manifest=evil, environment={EVIL: {EVIL: EVIL}})
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert "<script>alert(1)</script>" in Page(html).words


def test_hostile_text_is_text_in_markdown(tmp_path: Path) -> None:
    evil = manifest(host=EVIL, command=[EVIL], asked={EVIL: EVIL}, versions={EVIL: EVIL})
    _, markdown = written(samples.hostile(), tmp_path, manifest=evil, environment={EVIL: {EVIL: EVIL}})
    outside_code = [line for line in markdown.splitlines() if not line.startswith("    ")]
    for line in outside_code:
        assert "<script" not in line
        assert "http://" not in line
        assert "@all" not in line
        assert not re.search(r"(?<!\\)`", line)
    assert "\x1b" not in markdown
    assert len(re.findall(r"(?<!\\)\]\(", "\n".join(outside_code))) == 2  # our own pictures
    for block in markdown.split("\n\n"):
        if block.startswith("| "):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(cells) == 1, block


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("a\nb", "a b"),
        ("*x* _y_ ~z~", r"\*x\* \_y\_ \~z\~"),
        ("- item", r"\- item"),
        ("&amp;", "&amp;amp;"),
        ("#1", r"\#1"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_markdown_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_undefined_is_never_zero(tmp_path: Path) -> None:
    table = streams_table(samples.passive())
    unnumbered = dict(zip(table.columns, table.rows[1], strict=True))
    assert [unnumbered[name] for name in ("expected", "lost", "loss", "reordered")] == ["n/a"] * 4
    assert unnumbered["duplicates"] == "0"
    html, markdown = written(samples.hostile(), tmp_path)
    assert "dropped by the receivers' own socket buffers n/a" in Page(html).words
    assert "| dropped by the receivers' own socket buffers | n/a |" in markdown


def test_attribution_cells_stand_under_their_names() -> None:
    stream = samples.blackout().streams[0]
    attribution = msgspec.structs.replace(stream.attribution, network=1, own_buffer=2, late=3, not_sent=4, unknown=5)
    changed = msgspec.structs.replace(stream, attribution=msgspec.structs.replace(attribution, misdelivered=6))
    table = attribution_table(Summary(parameters=samples.blackout().parameters, streams=[changed]))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    names = ("network", "own buffer", "late", "not sent", "unknown", "misdelivered")
    assert [row[name] for name in names] == ["1", "2", "3", "4", "5", "6"]


def test_windows_table_keeps_the_worst_fifty_in_the_order_of_time() -> None:
    stream = samples.periodic().streams[0]
    one = stream.windows[0]
    windows = [
        msgspec.structs.replace(one, start_ns=one.start_ns + k * samples.S, end_ns=one.start_ns + k * samples.S + k + 1)
        for k in range(62)
    ]
    many = Summary(parameters=samples.periodic().parameters, streams=[msgspec.structs.replace(stream, windows=windows)])
    table = windows_table(many)
    assert len(table.rows) == 50
    assert table.remark == more(62, 50) == "The worst 50 of 62; 12 more in summary.json."
    assert [row[0] for row in table.rows] == sorted(row[0] for row in table.rows)
    assert table.rows[0][0] == "2026-07-14 12:00:16.250"


def test_interpolated_edges_are_marked() -> None:
    table = windows_table(samples.aperiodic())
    assert table.rows[0][0].startswith("≈ ")
    assert "interpolated" in table.remark


def test_markdown_fits_an_issue_tracker_whatever_comes(tmp_path: Path) -> None:
    base = samples.many(40)
    evil = "|" * 5_000
    streams = [
        msgspec.structs.replace(base.streams[k % 40], number=k, label=f"{k} {evil}", notes=[f"{k} {evil}"] * 3)
        for k in range(300)
    ]
    verdicts = [Verdict(name=evil, sentence=evil, evidence_for=[evil] * 50)] * 20
    large = msgspec.structs.replace(
        base, streams=streams, verdicts=verdicts, rejected={f"{k}{evil}": k for k in range(300)}
    )
    environment = {f"section {k}": [evil] * 10 for k in range(100)}
    html, markdown = written(large, tmp_path, environment=environment)
    assert len(markdown.encode()) <= LIMIT_BYTES
    assert "more in summary.json" in Page(html).words


def test_pictures_are_linked_relative_and_as_png_in_markdown(tmp_path: Path) -> None:
    _, markdown = written(samples.healthy(), tmp_path)
    assert re.findall(r"\]\((.*?)\)", markdown) == ["plots/timeline.png", "plots/loss.png"]
    other = fake_plots(tmp_path / "other place")
    _, path = write_report(tmp_path / "run", samples.healthy(), plots=other)
    assert "](../other%20place/timeline.png)" in path.read_text(encoding="utf-8")


def test_capture_without_manifest_says_little_and_invents_nothing(tmp_path: Path) -> None:
    html, markdown = written(samples.passive(), tmp_path, manifest=None, environment=None, plots=[])
    assert "No picture was drawn." in Page(html).words
    assert "Not recorded." in Page(html).words
    assert "Reproduce" not in markdown
    assert "239.1.2.3:5000" in markdown


def test_missing_picture_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read the picture .*gone\.png.*harness plot"):
        write_report(tmp_path, samples.healthy(), plots=[tmp_path / "gone.png"])


def test_unwritable_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(tmp_path / "file", samples.healthy())


def limit(is_passed: bool | None) -> Limit:
    return Limit(name="max_loss", limit="1%", measured="2 %", is_passed=is_passed)


@pytest.mark.parametrize(
    ("name", "limits", "expected"),
    [
        ("healthy", [], "clean"),
        ("healthy", [True], "passed"),
        ("periodic", [], "found"),
        ("periodic", [True], "passed"),
        ("periodic", [True, False, None], "failed"),
        ("healthy", [True, None], "undecided"),
        ("empty", [], "nothing"),
        ("empty", [None], "undecided"),
        ("empty", [False], "failed"),
        ("disordered", [], "found"),
    ],
)
def test_status(name: str, limits: list[bool | None], expected: str) -> None:
    summary = msgspec.structs.replace(samples.SAMPLES[name](), limits=[limit(each) for each in limits])
    assert status(summary) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("healthy", "No fault found: no loss, 30,000 packets received."),
        (
            "periodic",
            "Found: 6 drop-out windows every 5 s, longest 200 ms (periodic), 4 % lost (1,200);"
            " the longest began at 2026-07-14 12:00:04.250 UTC.",
        ),
        ("never_received", "Found: nothing received of 1 of 2 streams."),
        ("empty", "Nothing received: no stream was found."),
        (
            "blackout",
            "Failed: 1 drop-out window of 1.3 s (mid-run), in 1 of 2 streams; worst stream lost 4.33 %;"
            " it began at 2026-07-14 12:00:12.250 UTC; 6 packets refused at sending (ENOBUFS);"
            " max_loss is 4.33 %, limit 0.1% (and 1 more)."
            " Likely cause: the link of eth0 was down during the window.",
        ),
    ],
)
def test_headline(name: str, expected: str) -> None:
    assert headline(samples.SAMPLES[name]()) == expected


@pytest.mark.parametrize("name", sorted(set(samples.SAMPLES) - {"hostile"}))
def test_terminal_text_fits_a_hundred_columns(name: str) -> None:
    text = format_table(samples.SAMPLES[name]())
    assert max(map(len, text.splitlines())) <= 105
    assert "\x1b" not in text


def test_terminal_text_numbers_streams_and_windows_refer_to_them() -> None:
    text = format_table(samples.late_and_stopped())
    assert re.search(r"#1 +239\.1\.2\.4:5000 stream 2 from 10\.0\.0\.1:5004", text)
    assert re.search(r"2026-07-14 12:00:28\.250 .* stopped or ended +#1", text)


def test_terminal_text_cannot_move_the_cursor() -> None:
    text = format_table(samples.hostile())
    assert all(char.isprintable() or char == "\n" for char in text)


def test_text_of_a_summary_needs_no_matplotlib() -> None:
    import subprocess

    code = "import sys, harness.report; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
