"""The hunt for the loss-free rate against a device of known capacity, and what a trial may be said to show."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StorageError, UsageError
from harness.model.search import SearchMethod, SearchTrial
from harness.search import Hunt, HuntSettings, judge, pursue

S = 10**9


@dataclass
class Device:
    """A path that forwards `capacity`, a receiver that takes `taken`, a sender that manages `manages`, all in pps."""

    capacity: float = math.inf
    taken: float = math.inf
    manages: float = math.inf

    def __call__(self, number: int, load: float) -> SearchTrial:
        offered = min(load, self.manages)
        sent = round(load)
        forwarded = round(sent * min(1.0, self.capacity / offered))
        received = round(forwarded * min(1.0, self.taken / min(offered, self.capacity)))
        lost, own = sent - received, forwarded - received
        verdict = judge(
            asked_pps=load, offered_pps=offered, scheduled=sent, sent=sent, lost=lost, own_buffer=own
        )  # fmt: skip
        return SearchTrial(
            number=number,
            asked_pps=load,
            offered_pps=offered,
            duration_ns=S,
            scheduled=sent,
            sent=sent,
            received=received,
            lost=lost,
            own_buffer=own,
            loss_ratio=lost / sent,
            late_max_ns=0,
            verdict=verdict,
        )


def clock(step_ns: int = 0) -> Callable[[], int]:
    state = [0]

    def now() -> int:
        state[0] += step_ns
        return state[0]

    return now


def make_hunt(**changes: object) -> Hunt:
    asked: dict[str, object] = {"lowest_pps": 1_000, "highest_pps": 100_000, "resolution_pps": 500, "trial_ns": S}
    return Hunt(HuntSettings(**(asked | changes)))  # type: ignore[arg-type] # a table of settings for tests


@settings(max_examples=60, deadline=None)
@given(st.integers(1_100, 99_000), st.sampled_from(["rfc2544", "mlrsearch"]))
def test_bounds_close_around_the_capacity(capacity: int, method: SearchMethod) -> None:
    hunt = make_hunt(method=method)
    assert pursue(hunt, Device(capacity=capacity), clock()) == ("resolved", None)
    assert hunt.throughput_pps is not None
    assert hunt.upper_bound_pps is not None
    assert hunt.throughput_pps <= capacity + 1 <= hunt.upper_bound_pps + 2
    assert hunt.upper_bound_pps - hunt.throughput_pps <= 500
    assert hunt.limited_by == "loss"
    per_load = 1 if method == "rfc2544" else 3
    assert len(hunt.trials) <= per_load * (2 + math.ceil(math.log2(99_000 / 500)))


@settings(max_examples=40, deadline=None)
@given(st.integers(2_000, 90_000))
def test_sender_that_falls_behind_never_lets_a_load_pass(manages: int) -> None:
    hunt = make_hunt()
    pursue(hunt, Device(manages=manages), clock())
    assert hunt.throughput_pps is not None
    assert hunt.throughput_pps <= manages / 0.98
    assert hunt.limited_by == "sender-limited"
    assert {trial.verdict for trial in hunt.trials} == {"loss-free", "sender-limited"}
    assert all(trial.lost == 0 for trial in hunt.trials), "not a packet was lost, and yet nothing passed"


def test_receiver_that_drops_is_not_the_networks_limit() -> None:
    hunt = make_hunt()
    pursue(hunt, Device(taken=30_000), clock())
    assert hunt.limited_by == "own-buffer"
    assert hunt.throughput_pps is not None
    assert 29_400 <= hunt.throughput_pps <= 30_001


def test_network_is_blamed_where_both_fail() -> None:
    hunt = make_hunt()
    pursue(hunt, Device(capacity=40_000, taken=20_000, manages=90_000), clock())
    assert hunt.trials[0].verdict == "loss"
    assert hunt.limited_by == "own-buffer", "below 40 kpps it is the receiver that decides"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "loss-free"),
        ({"lost": 1}, "loss"),
        ({"lost": 1, "own_buffer": None}, "loss"),
        ({"lost": 5, "own_buffer": 5}, "own-buffer"),
        ({"lost": 5, "own_buffer": 4}, "loss"),
        ({"offered_pps": 979.0}, "sender-limited"),
        ({"offered_pps": 981.0}, "loss-free"),
        ({"offered_pps": None}, "sender-limited"),
        ({"sent": 999}, "sender-limited"),
        ({"sent": 0}, "sender-limited"),
        ({"offered_pps": 500.0, "lost": 1}, "loss"),
        ({"lost": 10, "loss_tolerance": 0.01}, "loss-free"),
        ({"lost": 11, "loss_tolerance": 0.01}, "loss"),
    ],
)
def test_what_a_trial_says(changes: dict[str, object], verdict: str) -> None:
    trial: dict[str, object] = {
        "asked_pps": 1000.0, "offered_pps": 1000.0, "scheduled": 1000, "sent": 1000, "lost": 0, "own_buffer": 0
    }  # fmt: skip
    assert judge(**(trial | changes)) == verdict  # type: ignore[arg-type] # a table of arguments


def test_highest_load_that_passes_ends_the_search_at_once() -> None:
    hunt = make_hunt()
    assert pursue(hunt, Device(), clock())[0] == "highest passed"
    assert (len(hunt.trials), hunt.throughput_pps, hunt.upper_bound_pps, hunt.limited_by) == (1, 100_000, None, None)


def test_nothing_passes() -> None:
    hunt = make_hunt()
    assert pursue(hunt, Device(capacity=10), clock())[0] == "lowest failed"
    assert (hunt.throughput_pps, hunt.upper_bound_pps) == (None, 1_000)


def test_trials_and_time_are_bounded() -> None:
    hunt = make_hunt(most_trials=3)
    assert pursue(hunt, Device(capacity=5_000), clock())[0] == "trials"
    assert len(hunt.trials) == 3
    hunt = make_hunt(most_ns=5 * S)
    assert pursue(hunt, Device(capacity=5_000), clock(S))[0] == "time"
    assert 1 <= len(hunt.trials) <= 4


@pytest.mark.parametrize("how", ["signal in the run", "signal outside of it"])
def test_interruption_keeps_the_trials_done(how: str) -> None:
    device, hunt = Device(capacity=5_000), make_hunt()

    def try_load(number: int, load: float) -> SearchTrial | None:
        if number < 4:
            return device(number, load)
        if how == "signal in the run":
            return None
        raise KeyboardInterrupt

    assert pursue(hunt, try_load, clock()) == ("interrupted", None)
    assert [trial.number for trial in hunt.trials] == [1, 2, 3]


def test_error_after_the_first_trial_is_part_of_the_result() -> None:
    device, hunt = Device(capacity=5_000), make_hunt()

    def try_load(number: int, load: float) -> SearchTrial | None:
        if number == 3:
            raise StorageError("no room")
        return device(number, load)

    assert pursue(hunt, try_load, clock()) == ("error", "no room")
    assert len(hunt.trials) == 2

    def fail(number: int, load: float) -> SearchTrial | None:
        raise StorageError("no room")

    with pytest.raises(StorageError):
        pursue(make_hunt(), fail, clock())


@pytest.mark.parametrize(
    "changes",
    [{"lowest_pps": 10, "highest_pps": 5}, {"resolution_pps": 0}, {"loss_tolerance": 2}, {"most_trials": 0},
     {"trial_ns": 0}, {"method": "mlrsearch", "exceed_ratio": 1.0}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        make_hunt(**changes)
