"""Every built-in format: golden packets of real senders, the same answers as Construct, and calm on hostile input.

The golden bytes of iperf 2.1.8 and MGEN 5.02 are as those programs sent them, those of RTP as scapy 2.8 builds them;
the others were written by hand and compared with what tshark, or for sACN the Python package sacn 1.11, reads in them.
"""

from typing import Any

import construct as c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocols import CORRUPT, DISCONTINUITY, END, RETRANSMITTED, UNDEFINED_NS, UNNUMBERED
from protocols.decoded import Decoded
from protocols.probe import fill_probes
from protocols.registry import PROTOCOLS, guess
from protocols.schema import Protocol

RTP = "82e1ffff 80000001 1f2e3d4c 00000001 00000002 61626364"
SACN = (
    "00100000 4153432d 45312e31 37000000 7075 00000004 000102030405060708090a0b0c0d0e0f 705f 00000002"
    + "636f6e736f6c65".ljust(128, "0")
    + "78 0000 c8 00 0007 7012 02 a1 0000 0001 0008 00 01020304050607"
)
SACN_SYNC = (
    "00100000 4153432d 45312e31 37000000 7021 00000008 000102030405060708090a0b0c0d0e0f 700b 00000001 05 0007 0000"
)
ARTNET = "4172742d4e657400 0050 000e ff 01 0312 0004 01020304"
ART_POLL = "4172742d4e657400 0020 000e 0600"
PTP_SYNC = "00 02 002c 05 00 0200 0000000000010000 00000000 001122fffe334455 0001 1234 00 fd 0000656565650000aabb"
PTP_RESPONSE = (
    "09 12 0036 05 00 0000 0000000000000000 00000000 001122fffe334455 0001 1235 03 00"
    "000065656565000000cc 665544fffe332211 0001"
)
SRT = "7fffffff e4000005 000f4240 1a2b3c4d 47400010"
SRT_ACK = "80020000 00000001 000f4240 1a2b3c4d 00000000"
IPERF_REST = "48010098 00000001 00003a99 000000c8 00000000 fffffff6"
IPERF = "00000002 6b032ff6 000a5345 00000000" + IPERF_REST
IPERF_END = "ffffff2d 6b032ff6 000bda17 ffffffff" + IPERF_REST
IPERF_OLD_END = "ffffff2d 6b032ff6 000bda17 00000000 00000001 00003a99"
MGEN = "003c0208 00000007 00000009 6b033003 0006ea74 3a9a0104 7f000001 00000000 04376820 04376820 fffffc19" + "00" * 16
TS_DATA = "47410037 07b0" + "00" * 182
TS_BREAK = "47010128 b780" + "00" * 182
TS_NO_PAYLOAD = "47010129 b700" + "00" * 182
TS_EMPTY_FIELD = "4701013a 0080" + "00" * 182
TS_ERROR = "4781011b" + "00" * 184
TS_NULL = "471fff10" + "ff" * 184

GOOD: dict[str, list[str]] = {
    "rtp": [RTP],
    "sacn": [SACN],
    "artnet": [ARTNET],
    "ptp": [PTP_SYNC, PTP_RESPONSE],
    "srt": [SRT],
    "iperf2": [IPERF, IPERF_END, IPERF_OLD_END],
    "mgen": [MGEN],
    "mpegts": [TS_DATA + TS_BREAK + TS_NULL],
    "raw": ["00", "0123456789"],
}


def rows_of(*packets: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return packets in hexadecimal as a batch whose unused bytes are noise."""
    raw = [bytes.fromhex(packet) for packet in packets]
    rows = np.full((len(raw), max(map(len, raw)) + 3), 0xA5, np.uint8)
    for row, data in zip(rows, raw, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return rows, np.array([len(data) for data in raw])


def decode(name: str, *packets: str) -> Decoded:
    rows, size = rows_of(*packets)
    return PROTOCOLS[name].decode(rows, size, size)


def reasons(name: str, *packets: str) -> list[str]:
    return [PROTOCOLS[name].reject_reasons[number] for number in decode(name, *packets).reject]


def plain(value: Any) -> Any:
    return int(value) if isinstance(value, int) else value


def assert_agrees_with_construct(protocol: Protocol, data: bytes) -> None:
    """Hold each field of one packet against Construct, and whether the fixed bytes are right."""
    width = protocol.layout.size
    rows = np.frombuffer(data, np.uint8)[None]
    try:
        parsed = protocol.schema.parse(data)
    except c.ConstError:
        assert not protocol.layout.has_constants(rows)[0]
        return
    except c.StreamError:
        assert len(data) < width or protocol.layout.tail
        return
    assert protocol.layout.has_constants(rows)[0]
    for path, place in protocol.layout.fields.items():
        value: Any = parsed
        for part in path.split("."):
            value = value[part]
        column = place.read(rows)[0]
        if isinstance(value, bytes):
            assert bytes(column) == value, path
        elif isinstance(value, dict):  # a FlagsEnum: the single flags are fields of their own
            assert all(value[flag] == bool(int(column) & mask) for flag, mask in _masks(protocol, path).items())
        else:
            assert int(column) == int(value), path


def _masks(protocol: Protocol, path: str) -> dict[str, int]:
    subcon: Any = protocol.schema
    for part in path.split("."):
        subcon = getattr(subcon, part)
    while not isinstance(subcon, c.FlagsEnum):
        subcon = subcon.subcon
    return dict(subcon.flags)


def test_all_formats_have_golden_packets() -> None:
    assert set(GOOD) | {"probe"} == set(PROTOCOLS)


@pytest.mark.parametrize("name", GOOD)
def test_golden_packets_are_accepted_and_agree_with_construct(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert reasons(name, *GOOD[name]) == ["ok"] * len(GOOD[name])
    for packet in GOOD[name]:
        data = bytes.fromhex(packet)
        assert_agrees_with_construct(protocol, data)
        assert protocol.schema.build(protocol.schema.parse(data)) == data


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_packets_agree_with_construct(name: str, data: st.DataObject) -> None:
    protocol = PROTOCOLS[name]
    size = protocol.layout.size
    noise = bytearray(data.draw(st.binary(min_size=size + 16, max_size=size + 16)))
    for path, value in protocol.layout.constants:
        if data.draw(st.booleans()):
            place = protocol.layout.fields[path]
            width = place.bit_length // 8
            start = place.bit_offset // 8
            order: Any = "little" if place.dtype.str[0] == "<" else "big"
            noise[start : start + width] = value if isinstance(value, bytes) else value.to_bytes(width, order)
    assert_agrees_with_construct(protocol, bytes(noise))


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hostile_batches_never_raise_and_account_for_every_datagram(name: str, data: st.DataObject) -> None:
    protocol = PROTOCOLS[name]
    n, width = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 420))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.integers(0, 256, (n, width), np.uint8)
    for row in rows:  # real packets with damaged bytes find more than noise does
        golden = bytes.fromhex(data.draw(st.sampled_from(GOOD.get(name, ["4d437072014000"]))))[:width]
        row[: len(golden)] = np.frombuffer(golden, np.uint8)
        for _ in range(data.draw(st.integers(0, 4))):
            if width:
                row[data.draw(st.integers(0, width - 1))] = data.draw(st.integers(0, 255))
    size = rng.integers(0, 500, n)
    kept = np.minimum(size, rng.integers(0, width + 1, n))
    decoded = protocol.decode(rows, kept, size)
    assert decoded.reject.shape == (n,)
    assert decoded.reject.max(initial=0) < len(protocol.reject_reasons)
    assert (decoded.reject[decoded.row] == 0).all()
    assert (np.diff(decoded.row) >= 0).all()
    for column in (decoded.seq, decoded.tx, decoded.flags, decoded.is_keyed, decoded.key):
        assert len(column) == len(decoded)
    if protocol.sequence_bits and protocol.sequence_bits < 64:
        assert ((decoded.seq >= 0) & (decoded.seq < 2**protocol.sequence_bits) | (decoded.seq == UNNUMBERED)).all()
    for index in range(len(decoded)):
        assert all(isinstance(text, str) for text in decoded.key_text(index).values())


@pytest.mark.parametrize("name", [name for name in GOOD if name != "raw"])
def test_a_packet_cut_anywhere_in_its_header_is_rejected(name: str) -> None:
    whole = bytes.fromhex(GOOD[name][0])
    fixed = 188 if name == "mpegts" else PROTOCOLS[name].layout.size
    for length in range(fixed):
        assert reasons(name, whole[:length].hex()) == (["too short"] if length else ["empty"]), length
    rows, size = rows_of(GOOD[name][0])
    cut = PROTOCOLS[name].decode(rows, np.array([fixed - 1]), size)
    assert PROTOCOLS[name].reject_reasons[cut.reject[0]] == "cut off by the capture"


def test_rtp_fields() -> None:
    decoded = decode("rtp", RTP)
    assert (decoded.seq[0], decoded.tx[0], decoded.key[0].tobytes().hex()) == (65535, 0x80000001, "1f2e3d4c")
    assert decoded.key_text(0) == {"ssrc": "0x1f2e3d4c"}
    assert (decoded.field("first.payload_type")[0], decoded.field("first.marker")[0]) == (97, True)
    assert (PROTOCOLS["rtp"].sequence_bits, PROTOCOLS["rtp"].clock_bits, PROTOCOLS["rtp"].clock_rate) == (16, 32, None)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        ("80c8 0006 1f2e3d4c 00000000 00000000", "an RTCP packet"),
        ("81c9 0001 1f2e3d4c", "an RTCP packet"),
        ("4001 0001 00000000 00000000", "unknown version"),
        ("8f01 0001 00000000 00000000", "wrong length"),
        ("9001 0001 00000000 00000000 bede0001", "wrong length"),
        ("9001 0001 00000000 00000000 bede0001 00000000", "ok"),
        ("9001 0001 00000000 00000000", "wrong length"),
        ("a001 0001 00000000 00000000 000004", "wrong length"),
        ("a001 0001 00000000 00000000 000000", "wrong length"),
        ("a001 0001 00000000 00000000 000003", "ok"),
    ],
)
def test_rtp_rejects(packet: str, reason: str) -> None:
    assert reasons("rtp", packet) == [reason]


def test_rtp_that_the_capture_cut_off_is_taken_as_it_is() -> None:
    rows, _ = rows_of("b001 0001 00000000 00000000")
    decoded = PROTOCOLS["rtp"].decode(rows, np.array([12]), np.array([200]))
    assert decoded.reject.tolist() == [0]


def test_transport_stream_records_and_flags() -> None:
    cells = [TS_DATA, TS_BREAK, TS_NULL, TS_NO_PAYLOAD, TS_EMPTY_FIELD, TS_ERROR]
    decoded = decode("mpegts", "".join(cells), TS_DATA)
    assert decoded.row.tolist() == [0, 0, 0, 0, 1]
    assert decoded.seq.tolist() == [7, 8, 10, 11, 7]
    assert decoded.flags.tolist() == [DISCONTINUITY, DISCONTINUITY, 0, CORRUPT, DISCONTINUITY]
    assert [decoded.key_text(index)["pid"] for index in range(5)] == ["256", "257", "257", "257", "256"]


def test_transport_stream_in_rtp_gives_the_same_records() -> None:
    cells = TS_DATA + TS_BREAK
    extended = "9021 0001 00000000 00000000 bede0001 00000000"
    decoded = decode("mpegts", cells, "8021 0001 00000000 00000000" + cells, RTP[:-8] + cells, extended + cells)
    assert decoded.row.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert decoded.seq.tolist() == [7, 8] * 4


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (TS_DATA + "47", "wrong length"),
        ("00" * 188, "wrong magic"),
        (TS_DATA + "00" * 188, "wrong magic"),
        ("8021 0001 00000000 00000000" + "00" * 188, "wrong magic"),
        ("8021 0001 00000000 00000000" + TS_DATA[:-2], "wrong length"),
        ("9021 0001 00000000 00000000 bedeffff" + TS_DATA, "wrong length"),
        (TS_NULL * 7, "ok"),
    ],
)
def test_transport_stream_rejects(packet: str, reason: str) -> None:
    assert reasons("mpegts", packet) == [reason]


def test_a_transport_stream_cut_off_by_the_capture_is_rejected_whole() -> None:
    rows, size = rows_of(TS_DATA * 7)
    cut = PROTOCOLS["mpegts"].decode(rows[:, :300], np.array([300]), size)
    assert (len(cut), PROTOCOLS["mpegts"].reject_reasons[cut.reject[0]]) == (0, "cut off by the capture")


def test_sacn_fields_and_termination() -> None:
    terminated = SACN.replace("78 0000 c8 00", "78 0000 c9 40")
    decoded = decode("sacn", SACN, terminated)
    assert decoded.seq.tolist() == [200, 201]
    assert decoded.flags.tolist() == [0, END]
    assert decoded.key_text(0) == {"universe": "7", "cid": "000102030405060708090a0b0c0d0e0f"}
    assert (decoded.field("priority")[0], decoded.field("start_code")[0]) == (120, 0)
    assert decoded.field("source_name")[0].tobytes().rstrip(b"\0") == b"console"


def test_sacn_rejects() -> None:
    too_many, none = SACN.replace("0008 00", "0202 00"), SACN.replace("0008 00", "0000 00")
    assert reasons("sacn", SACN_SYNC, too_many, none, SACN[:-4]) == [
        "sACN synchronization or discovery",
        "wrong length",
        "wrong length",
        "wrong length",
    ]


def test_art_net_numbers_run_from_1_to_255_and_0_is_off() -> None:
    off, first = ARTNET.replace("ff", "00"), ARTNET.replace("ff", "01")
    decoded = decode("artnet", ARTNET, off, first)
    assert decoded.seq.tolist() == [255, UNNUMBERED, 1]
    assert decoded.key_text(0) == {"universe": "4611"}
    assert (PROTOCOLS["artnet"].sequence_first, PROTOCOLS["artnet"].sequence_modulus) == (1, 255)


def test_art_net_rejects() -> None:
    old, long = ARTNET.replace("000e", "000d"), ARTNET.replace("0004", "0005")
    expected = ["Art-Net, but not ArtDmx", "unknown version", "wrong length"]
    assert reasons("artnet", ART_POLL, old, long) == expected


def test_ptp_numbers_only_what_a_port_sends_of_its_own_accord() -> None:
    decoded = decode("ptp", PTP_SYNC, PTP_RESPONSE)
    assert decoded.seq.tolist() == [0x1234, UNNUMBERED]
    assert decoded.tx.tolist() == [UNDEFINED_NS] * 2
    expected = {"domain": "5", "message_type": "Sync", "clock_identity": "001122fffe334455", "port_number": "1"}
    assert decoded.key_text(0) == expected
    assert decoded.key_text(1)["message_type"] == "Delay_Resp"
    assert decoded.key[0].tobytes() != decoded.key[1].tobytes()
    assert (decoded.field("correction")[0], decoded.field("log_interval")[0]) == (65536, -3)


def test_ptp_rejects() -> None:
    version_1, long = "00 01" + PTP_SYNC[5:], PTP_SYNC.replace("002c", "002d")
    assert reasons("ptp", version_1, long) == ["unknown version", "wrong length"]


def test_srt_fields_and_control() -> None:
    decoded = decode("srt", SRT, SRT_ACK)
    assert (decoded.seq[0], decoded.tx[0], decoded.flags[0]) == (2**31 - 1, 1_000_000, RETRANSMITTED)
    assert decoded.key_text(0) == {"destination_socket": "0x1a2b3c4d"}
    assert reasons("srt", SRT, SRT_ACK) == ["ok", "an SRT control packet"]
    assert (PROTOCOLS["srt"].sequence_bits, PROTOCOLS["srt"].clock_rate) == (31, 1_000_000)


def test_iperf_numbers_are_signed_and_the_negative_one_is_the_end() -> None:
    beyond = "00000005 6b032ff6 00000000 00000001" + IPERF_REST
    impossible = "00000000 6b032ff6 00000000 80000000" + IPERF_REST
    decoded = decode("iperf2", IPERF, IPERF_END, IPERF_OLD_END, beyond, impossible)
    assert decoded.seq.tolist() == [2, 211, 211, 2**32 + 5, UNNUMBERED]
    assert decoded.flags.tolist() == [0, END, END, 0, END]
    assert decoded.tx[0] == 0x6B032FF6 * 10**9 + 0x0A5345 * 1000
    assert reasons("iperf2", "00000002 6b032ff6 000f4240 00000000" + IPERF_REST) == ["wrong time"]


def test_mgen_fields() -> None:
    decoded = decode("mgen", MGEN)
    assert (decoded.seq[0], decoded.tx[0]) == (9, 0x6B033003 * 10**9 + 0x06EA74 * 1000)
    assert decoded.key_text(0) == {"flow": "7"}
    assert decoded.field("flags.last_buffer").tolist() == [True]
    bad = [MGEN.replace("003c02", "003d02"), MGEN.replace("3a9a0104", "3a9a0304"), MGEN.replace("003c02", "003c04")]
    assert reasons("mgen", *bad) == ["wrong length", "wrong address", "unknown version"]


def test_raw_takes_everything_even_an_empty_datagram() -> None:
    decoded = PROTOCOLS["raw"].decode(np.zeros((3, 0), np.uint8), np.zeros(3, int), np.array([0, 9, 9]))
    assert decoded.reject.tolist() == [0, 0, 0]
    assert decoded.seq.tolist() == [UNNUMBERED] * 3
    assert (decoded.key.shape, PROTOCOLS["raw"].is_numbered) == ((3, 0), False)


def counted(packet: str, at: int, width: int, n: int = 40, first: int = 1) -> tuple[NDArray[np.uint8], Any]:
    """Return n copies of a packet whose big-endian number at byte `at` counts up."""
    rows = np.repeat(np.frombuffer(bytes.fromhex(packet), np.uint8)[None], n, axis=0)
    for k, row in enumerate(rows):
        row[at : at + width] = np.frombuffer((first + k).to_bytes(width, "big"), np.uint8)
    return rows, np.full(n, rows.shape[1])


@pytest.mark.parametrize(
    ("name", "packet", "at", "width", "ports"),
    [
        ("rtp", RTP, 2, 2, ()),
        ("rtp", RTP, 2, 2, (5004,)),
        ("sacn", SACN, 111, 1, ()),
        ("artnet", ARTNET, 12, 1, (6454,)),
        ("ptp", PTP_SYNC, 30, 2, (319, 320)),
        ("srt", SRT, 0, 4, ()),
        ("iperf2", IPERF, 0, 4, (5001,)),
        ("iperf2", IPERF, 0, 4, ()),
        ("mgen", MGEN, 8, 4, ()),
        ("mpegts", TS_DATA * 7, 4, 1, (1234,)),
        ("raw", "ffff0000" * 4, 4, 2, (5004,)),
    ],
)
def test_guess_names_the_format_of_running_traffic(
    name: str, packet: str, at: int, width: int, ports: tuple[int, ...]
) -> None:
    rows, size = counted(packet, at, width)
    protocol, why = guess(rows, size, size, ports)
    assert protocol.name == name, why
    assert why.startswith("40 of 40 datagrams fit; ") if name != "raw" else why == "no known format fits"


def test_guess_finds_probes_and_is_not_fooled_by_noise_or_nothing() -> None:
    rows = np.zeros((20, 64), np.uint8)
    numbers = np.arange(20)
    fill_probes(rows, stream_id=1, epoch=2, seq=numbers, tx_ns=numbers, schedule_start_ns=0, interval_ns=1)
    size = np.full(20, 64)
    assert guess(rows, size, size)[0].name == "probe"
    noise = np.random.default_rng(1).integers(0, 256, (500, 200), np.uint8)
    assert guess(noise, np.full(500, 200), np.full(500, 200), (5004,))[0].name == "raw"
    assert guess(rows[:0], size[:0], size[:0])[0].name == "raw"


def test_guess_doubts_a_port_whose_numbers_jump_about() -> None:
    rows, size = counted(RTP, 2, 2)
    rows[:, 2:4] = np.random.default_rng(2).integers(0, 256, (40, 2), np.uint8)
    assert guess(rows, size, size, (5004,))[0].name == "raw"
