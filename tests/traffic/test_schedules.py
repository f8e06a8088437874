import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.traffic.schedule_text import SPELLINGS, parse_offsets, parse_schedule
from harness.traffic.schedules import Constant, Frames, Listed, OnOff, Poisson, Ramp, Schedule
from harness.units import NS_PER_S, Rate

MS = 1_000_000


def make_schedules() -> list[Schedule]:
    return [
        Constant(MS),
        Constant(0),
        Poisson(MS, seed=3),
        OnOff(MS, on_ns=10 * MS, off_ns=90 * MS),
        Ramp(100, 1000, NS_PER_S),
        Ramp(1000, 100, NS_PER_S),
        Frames(7, 20 * MS),
        Listed(np.arange(0, 5000, 3, dtype=np.int64)),
    ]


@pytest.mark.parametrize("place", range(len(make_schedules())))
def test_pieces_of_any_length_give_the_same_times(place: int) -> None:
    whole, in_pieces = make_schedules()[place], make_schedules()[place]
    expected = whole.offsets_ns(0, 1000)
    pieces, first = [], 0
    for n in (1, 7, 300, 0, 692):
        pieces.append(in_pieces.offsets_ns(first, n))
        first += n
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


@pytest.mark.parametrize("schedule", make_schedules(), ids=str)
def test_times_start_at_zero_or_later_and_never_fall(schedule: Schedule) -> None:
    offsets = schedule.offsets_ns(0, 1000)
    assert offsets[0] >= 0
    assert np.all(np.diff(offsets) >= 0)


def test_poisson_gaps_have_the_mean_and_spread_of_an_exponential() -> None:
    gaps = np.diff(Poisson(MS, seed=5).offsets_ns(0, 50_000))
    assert np.mean(gaps) == pytest.approx(MS, rel=0.02)
    assert np.std(gaps) == pytest.approx(MS, rel=0.03)
    assert not np.array_equal(Poisson(MS, seed=6).offsets_ns(0, 10), Poisson(MS, seed=5).offsets_ns(0, 10))


def test_burst_is_silent_while_off() -> None:
    offsets = OnOff(MS, on_ns=10 * MS, off_ns=90 * MS).offsets_ns(0, 25)
    assert offsets.tolist() == [(k // 10) * 100 * MS + (k % 10) * MS for k in range(25)]


@settings(max_examples=50, deadline=None)
@given(st.floats(10, 10_000), st.floats(10, 10_000), st.floats(0.1, 20))
def test_ramp_sends_the_area_under_the_rate(start: float, end: float, over_s: float) -> None:
    offsets = Ramp(start, end, round(over_s * NS_PER_S)).offsets_ns(0, 2000)
    for k in (1, 10, 500, 1999):
        t = offsets[k] / NS_PER_S
        inside = min(t, over_s)
        area = start * inside + (end - start) / over_s * inside**2 / 2 + max(0.0, t - over_s) * end
        assert area == pytest.approx(k, rel=1e-5)


def test_offsets_of_a_file_end_with_the_file() -> None:
    schedule = parse_offsets("0ms\n\n5ms # comment\n5ms\n1s\n", "x")
    assert schedule.offsets_ns(0, 10).tolist() == [0, 5 * MS, 5 * MS, NS_PER_S]
    assert schedule.offsets_ns(4, 10).tolist() == []


@pytest.mark.parametrize("text", SPELLINGS.values())
def test_every_documented_spelling_is_read(text: str) -> None:
    schedule = parse_schedule(text, Rate(pps=1000), 200, offsets_text="0ms\n1ms")
    assert len(schedule.offsets_ns(0, 2)) == 2
    assert str(schedule)


@pytest.mark.parametrize(
    ("text", "rate", "says"),
    [
        ("poison", Rate(pps=1), "did you mean 'poisson'"),
        ("poisson:sed=1", Rate(pps=1), "did you mean 'seed'"),
        ("poisson:seed=x", Rate(pps=1), "not a whole number"),
        ("poisson", Rate(), "finite rate"),
        ("burst:on=1s", Rate(pps=1000), "off is missing"),
        ("burst:on=1us,off=1s", Rate(pps=1000), "at least one packet"),
        ("burst:on=1,off=1s", Rate(pps=1000), "has no unit"),
        ("ramp:to=max,over=1s", Rate(pps=1000), "two finite rates"),
        ("frames:packets=0,every=20ms", Rate(), "at least one packet"),
        ("file:x", Rate(), "was not read"),
    ],
)
def test_bad_spelling_is_refused_in_one_line(text: str, rate: Rate, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        parse_schedule(text, rate, 200)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"), [("", "no offset"), ("5ms\n3ms", "line 2"), ("5", "line 1.*no unit"), ("x", "line 1")]
)
def test_bad_file_names_the_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_offsets(text, "x")
