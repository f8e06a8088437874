"""Nothing that names somebody survives redaction, in any file of a bundle and in no encoding."""

from __future__ import annotations

import io
import ipaddress
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bundle_helpers import (
    BOOT,
    GROUP,
    HOST,
    LINK_LOCAL,
    MAC,
    NAMES,
    PRIVATE,
    SSID,
    USER,
    V4,
    V6,
    a_named_run,
    environment,
    every_form,
    manifest,
    membership_frames,
    needles,
    unpacked,
    write_capture,
)
from matplotlib.text import Text

from harness.bundle import Bundle, Redactor, make_bundle, write_mapping
from harness.bundle.material import Gathering
from harness.capture import Skip, open_capture
from harness.cli import main
from harness.model import Manifest
from harness.model.scenario_text import parse_scenario


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_named_run(tmp_path_factory.mktemp("named") / f"{HOST}-run")


Drawn = tuple[Bundle, str]


def drawn(run: Path, *, is_redacted: bool) -> Drawn:
    """Make a bundle, and return it with all texts that matplotlib drew for it."""
    texts: list[str] = []
    original = Text.draw

    def draw(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        texts.append(self.get_text())
        original(self, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        return make_bundle(run, is_redacted=is_redacted), "\n".join(texts)


@pytest.fixture(scope="module")
def redacted_and_drawn(run: Path) -> Drawn:
    return drawn(run, is_redacted=True)


@pytest.fixture(scope="module")
def plain_and_drawn(run: Path) -> Drawn:
    return drawn(run, is_redacted=False)


@pytest.fixture(scope="module")
def redacted(redacted_and_drawn: Drawn) -> Bundle:
    return redacted_and_drawn[0]


@pytest.fixture(scope="module")
def files(redacted: Bundle) -> dict[str, bytes]:
    return unpacked(redacted.data)


def found_in(files: dict[str, bytes]) -> set[tuple[str, bytes]]:
    return {
        (name, needle)
        for name, data in files.items()
        for form in every_form(name, data)
        for needle in needles()
        if needle in form
    }


def test_the_search_finds_every_canary_in_a_bundle_that_is_not_redacted(plain_and_drawn: Drawn) -> None:
    files = unpacked(plain_and_drawn[0].data)
    found = found_in(files)
    seen = {needle for _, needle in found}
    assert {name.lower().encode() for name in NAMES} <= seen
    assert {MAC, V4.packed, V6.packed, LINK_LOCAL.packed} <= seen
    hit = {name for name, _ in found}
    numbers = {"packets.bin", "sent.bin", "sent.crc", "SHA256SUMS", "command.txt"}
    blank = {name for name in files if name.rpartition("/")[2] in numbers or name.startswith("plots/")}
    assert set(files) - hit <= blank, "every file but those of numbers has to hold a canary, or the test proves nothing"


def test_no_canary_survives_in_any_file(files: dict[str, bytes]) -> None:
    assert found_in(files) == set()


def test_no_canary_survives_in_the_zip_itself(redacted: Bundle) -> None:
    with zipfile.ZipFile(io.BytesIO(redacted.data)) as archive:
        outside = archive.comment + b"".join(
            info.filename.encode() + info.comment + info.extra for info in archive.infolist()
        )
    assert [needle for needle in needles() if needle in outside.lower()] == []
    assert HOST not in redacted.redacted_name


def test_no_canary_is_drawn(redacted_and_drawn: Drawn, plain_and_drawn: Drawn) -> None:
    everything = redacted_and_drawn[1].lower().encode()
    assert b"239.255.7.7" in everything, "labels of streams are drawn"
    assert [needle for needle in needles() if needle in everything] == []
    assert str(V4) in plain_and_drawn[1], "without redaction the source's address is drawn"


def test_what_matters_stays(files: dict[str, bytes]) -> None:
    readme = files["README.md"].decode()
    assert str(GROUP) in readme
    assert "eth0" in readme
    assert PRIVATE in files["environment.json"].decode()
    assert "255.255.255.0" in files["environment.json"].decode()
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    assert manifest.kind == "run"
    assert [info.name for info in manifest.hosts] == ["tx"]
    scenario = parse_scenario(files["scenario.toml"].decode(), "scenario.toml")
    assert (scenario.host[0].kind, scenario.stream[0].host) == ("ssh", "tx")


def test_the_same_value_has_the_same_token_in_every_file(redacted: Bundle, files: dict[str, bytes]) -> None:
    assert redacted.mapping is not None
    mapping = redacted.mapping
    host, user = mapping["host"][HOST], mapping["user"][USER]
    source = mapping["ipv4"][str(V4)]
    for name in ("README.md", "manifest.json", "environment.json", "report.html", "hosts/rx/environment.json"):
        assert host in files[name].decode(), name
    for name in ("README.md", "manifest.json", "summary.json", "report.html", "scenario.toml", "evidence.json"):
        assert source in files[name].decode(), name
    assert f"/home/{user}/" in files["manifest.json"].decode()
    for kind, pairs in mapping.items():
        assert len(set(pairs.values())) == len(pairs), kind


def test_derived_addresses_follow_their_hardware_address(redacted: Bundle, files: dict[str, bytes]) -> None:
    assert redacted.mapping is not None
    token = bytes.fromhex(redacted.mapping["mac"][MAC.hex(":")].replace(":", ""))
    eui = bytes([token[0] ^ 2]) + token[1:3] + b"\xff\xfe" + token[3:]
    told = json.loads(files["environment.json"])
    assert (
        told["interfaces"]["eth0"]["addresses"][3]["address"]
        == f"{ipaddress.IPv6Address(LINK_LOCAL.packed[:8] + eui)}%eth0"
    )
    assert told["memberships"]["inet6"][0]["group"] == f"ff02::1:ff00:{token[5]:x}"
    assert told["clock_identity"] == f"{token.hex()[:6]}.fffe.{token.hex()[6:]}"


def test_frames_keep_their_sense(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.pcapng"
    path.write_bytes(files["membership.pcapng"])
    before = tmp_path / "b.pcapng"
    write_capture(before, membership_frames())
    kinds = []
    for each in (before, path):
        capture = open_capture(each, verify_checksums=True)
        n_datagrams = sum(len(batch) for batch in capture.batches())
        kinds.append([(item.rx_ns, item.ttl, len(item.payload)) for item in capture.memberships])
        assert Skip.BAD_CHECKSUM not in capture.counters
        assert n_datagrams == 1
    assert len(kinds[0]) == 3
    assert kinds[0] == kinds[1]


def test_the_mapping_is_for_its_owner_alone(run: Path, redacted: Bundle, tmp_path: Path) -> None:
    assert redacted.mapping is not None
    path = write_mapping(tmp_path, redacted.mapping)
    assert path.stat().st_mode & 0o777 == 0o600
    told = json.loads(path.read_text())
    assert told["ssid"] == {SSID: "ssid-1"}
    assert BOOT in told["uuid"]
    assert "redaction.json" not in unpacked(redacted.data)


def test_a_file_that_cannot_be_redacted_is_left_out(tmp_path: Path) -> None:
    run = a_named_run(tmp_path / "run")
    write_capture(run / "membership.pcapng", [b"\0" * 40], link_type=127)
    (run / "evidence.json").write_text(f'{{"host": "{HOST}"')
    (run / "witnesses.json").unlink()
    (run / "witnesses.json").symlink_to(run / "evidence.json")
    (tmp_path / "scratch").mkdir()
    gathering = Gathering(Redactor(), tmp_path / "scratch")
    gathering.find_run(run, 10**9)
    material = gathering.read()
    missing = {"membership.pcapng", "evidence.json", "witnesses.json"}
    assert not {entry.name for entry in material.entries} & missing
    assert {item.name for item in material.left_out} >= missing
    assert found_in({entry.name: entry.data for entry in material.entries}) == set()
    assert not [item for item in material.left_out if any(name in f"{item}" for name in NAMES)]


def test_the_command_writes_mapping_beside_the_run_and_says_so(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "b.zip"
    monkeypatch.setattr("harness.bundle.build.figures.plot_summary", lambda *_: [])
    assert main(["report", "--bundle", str(run), "--redact", "--output", str(target), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["mapping"] == str(run / "redaction.json")
    assert "redaction.json" in shown.err
    assert (run / "redaction.json").stat().st_mode & 0o777 == 0o600


def test_the_helpers_name_everything() -> None:
    told = json.dumps(environment()) + msgspec.json.encode(manifest()).decode()
    assert all(name in told.replace("\\u003c", "<") for name in NAMES if name != SSID)
