import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UnitError
from harness.units import Rate, format_duration, parse_duration, parse_rate, parse_ratio, parse_size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("60", "has no unit; write 60s or 250ms"),
        ("60 sec", "unknown unit 'sec'"),
        ("-1s", "outside"),
        ("", "not a number"),
        ("nan s", "not a number"),
        ("1e30s", "outside"),
        ("1e999999999s", "out"),
        ("5ms5", "unknown unit"),
    ],
)
def test_bad_duration_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UnitError, match=says):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0pps", "-5kpps", "1000", "max1", "1e30Mpps", "1MBps", "0.000001pps", "1e-9bit/s"])
def test_bad_rate_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_rate(text)


@pytest.mark.parametrize("text", ["1.5B", "-1", "x", "1XB", "1e400GB"])
def test_bad_size_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_size(text)


@pytest.mark.parametrize("text", ["101%", "-1%", "x%", "2", "nan"])
def test_bad_ratio_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_ratio(text)


@given(st.integers(0, 10**15))
def test_every_number_of_nanoseconds_reads_back(ns: int) -> None:
    assert parse_duration(f"{ns}ns") == ns


@given(st.integers(1, 10**18))
def test_duration_for_people_is_close(ns: int) -> None:
    shown = format_duration(ns)
    total = sum(
        parse_duration(f"{number}{unit}")
        for number, unit in zip(shown.split()[::2], shown.split()[1::2], strict=True)
        if unit != "d"
    ) + sum(
        int(number) * 86_400 * 10**9 for number, unit in zip(shown.split()[::2], shown.split()[1::2], strict=True)
        if unit == "d"
    )  # fmt: skip
    assert total == pytest.approx(ns, rel=0.05)


def test_usual_spellings_of_other_tools_are_read() -> None:
    assert parse_size("4KB") == 4000
    assert parse_rate("10Mbps") == parse_rate("10Mbit/s")


def test_rate_in_bits_refers_to_the_payload() -> None:
    assert parse_rate("16Mbit/s").interval_ns(200) == 100_000
    assert Rate().is_max
    assert Rate().interval_ns(200) == 0
