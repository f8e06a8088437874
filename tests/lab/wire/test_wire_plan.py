import pytest
import wire_helpers as h
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError, UsageError
from harness.lab.wire import Limit, parse_wire
from harness.lab.wire.cap import RateCap, cap_of, cap_text
from harness.lab.wire.plan import NEVER_NS, GilbertPlan, Numbers, Selection, plan_of

WHOLE = """
seed = 3
cap = "10kpps"
log = "all"
hold_limit = 500
sequence = { offset = 2, bytes = 2 }
[[fault]]
kind = "loss"
name = "burst"
direction = "forward"
group = "239.1.2.3:5000"
from = "1s"
until = "3s"
gilbert = { p = "1%", r = "25%", good = "0.1%", bad = "90%" }
[[fault]]
kind = "delay"
frames = "all"
delay = "20ms"
jitter = "5ms"
[[fault]]
kind = "power-save"
group = "ff15::1"
port = 5004
"""


def test_quantities_are_read() -> None:
    plan = plan_of(h.spec_of(WHOLE))
    assert (plan.cap_pps, plan.log_all, plan.hold_limit, plan.sequence) == (10_000, True, 500, (2, 2))
    burst, delay, power_save = plan.faults
    assert (burst.label, burst.address, burst.port) == ("burst", bytes([239, 1, 2, 3]), 5000)
    assert (burst.from_ns, burst.until_ns) == (10**9, 3 * 10**9)
    assert burst.selection == Selection(gilbert=GilbertPlan(0.01, 0.25, 0.001, 0.9))
    assert (delay.label, delay.delay_ns, delay.jitter_ns) == ("2 delay", 20_000_000, 5_000_000)
    assert (delay.from_ns, delay.until_ns, delay.selection) == (0, NEVER_NS, Selection())
    assert (power_save.interval_ns, power_save.port) == (307_000_000, 5004)
    assert power_save.address is not None
    assert len(power_save.address) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "wire.toml: unknown key 'sed'; did you mean 'seed'?"),
        ("seed = 'a'", "wire.toml: seed: Expected `int`, got `str`"),
        ("cap = 5", "wire.toml: cap: Expected `str | null`, got `int`; quantities are strings with a unit"),
        ("cap = '5Mbit/s'", "wire.toml: cap: '5Mbit/s' is not in frames per second"),
        ("hold_limit = -1", "wire.toml: hold_limit is -1"),
        ("sequence = { offset = 2, bytes = 9 }", "wire.toml: sequence: offset is 0 or more, and bytes 1 to 8"),
        ("sequence = { ofset = 2, bytes = 2 }", "wire.toml: sequence, unknown key 'ofset'; did you mean 'offset'?"),
        ("fault = 1", "wire.toml: fault is a list of tables"),
        ("fault = [1]", "wire.toml: fault 1: has no kind"),
        ("[[fault]]\nkind = 'los'", "wire.toml: fault 1: has the unknown kind 'los'; did you mean 'loss'?"),
        ("[[fault]]\nkind = 'loss'\nration = '1%'", "fault 1: unknown key 'ration'; did you mean 'ratio'?"),
        ("[[fault]]\nkind = 'loss'\nratio = '1%'\n[[fault]]\nkind = 'loss'\nratio = 1", "fault 2: ratio: Expected"),
        ("[[fault]]\nkind = 'loss'\nratio = '120%'", "fault 1: ratio: ratio '120%' lies outside 0 to 100 %"),
        ("[[fault]]\nkind = 'loss'", "fault 1: which frames? write one of ratio, gilbert, seqs and nths"),
        ("[[fault]]\nkind = 'loss'\nratio = '1%'\nnths = [1]", "fault 1: nths: contradicts ratio"),
        ("[[fault]]\nkind = 'loss'\nseqs = ['9-3']", "fault 1: seqs: '9-3' is neither a number nor a run"),
        ("[[fault]]\nkind = 'loss'\nnths = [-3]", "fault 1: nths: -3 is neither"),
        ("[[fault]]\nkind = 'loss'\ngilbert = { p = '1%', r = 'x' }", "fault 1: gilbert, r: ratio 'x' is neither"),
        ("[[fault]]\nkind = 'loss'\ngilbert = { p = '0%', r = '0%' }", "fault 1: gilbert: with p and r both 0"),
        ("[[fault]]\nkind = 'loss'\ngilbert = { q = '0%' }", "fault 1: gilbert, unknown key 'q'; known: bad, good, p"),
        ("[[fault]]\nkind = 'dropout'\nratio = '1%'", "fault 1: unknown key 'ratio'"),
        ("[[fault]]\nkind = 'dropout'\nfrom = '2s'\nuntil = '2s'", "fault 1: until: 2s is not after from, 2s"),
        ("[[fault]]\nkind = 'dropout'\nfrom = '2'", "fault 1: from: duration '2' has no unit"),
        ("[[fault]]\nkind = 'dropout'\ndirection = 'up'", "fault 1: direction: Invalid enum value 'up'"),
        ("[[fault]]\nkind = 'dropout'\ngroup = 'here'", "fault 1: group: 'here' has no port"),
        ("[[fault]]\nkind = 'dropout'\nport = 0", "fault 1: port: 0 is not a number from 1 to 65535"),
        ("[[fault]]\nkind = 'dropout'\ngroup = '239.1.1.1:5'\nport = 6", "fault 1: port: 6 contradicts the port"),
        ("[[fault]]\nkind = 'dropout'\nframes = 'all'\nport = 6", "fault 1: frames: only UDP has ports"),
        ("[[fault]]\nkind = 'corrupt'\nframes = 'all'\nratio = '1%'", "fault 1: frames: only UDP payloads"),
        ("[[fault]]\nkind = 'reorder'\nratio = '1%'\ndisplacement = 0", "fault 1: displacement: 0 lies outside"),
        ("[[fault]]\nkind = 'duplicate'\nratio = '1%'\ncopies = 0", "fault 1: copies: 0 lies outside 1 to 65535"),
        ("[[fault]]\nkind = 'delay'", "fault 1: delay: nothing is delayed"),
        ("[[fault]]\nkind = 'power-save'\ninterval = '1us'", "fault 1: interval: 1us is too short"),
        ("[fault", "wire.toml: not valid TOML"),
    ],
)
def test_what_does_not_fit_is_named(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_wire(text, "wire.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 8)), max_size=8))
def test_runs_of_numbers_hold_what_a_set_holds(runs: list[tuple[int, int]]) -> None:
    numbers = Numbers((first, first + more) for first, more in runs)
    plain = {number for first, more in runs for number in range(first, first + more + 1)}
    assert {number for number in range(-2, 70) if number in numbers} == plain


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.lists(st.integers(0, 3_000_000), min_size=1, max_size=200))
def test_the_cap_holds_in_every_span_and_lets_through_what_fits(burst: int, gaps: list[int]) -> None:
    """At 1 kpps a span of t ms takes at most burst + t frames; frames at 1 kpps or slower are never refused."""
    cap, now_ns, passed = RateCap(1_000, burst), 0, list[int]()
    for gap in gaps:
        now_ns += gap
        if cap.takes(now_ns):
            passed.append(now_ns)
    for place, first in enumerate(passed):
        for n_more, last in enumerate(passed[place:]):
            assert n_more + 1 <= burst + (last - first) / 1_000_000 + 1e-9
    slow = RateCap(1_000, burst)
    assert all(slow.takes(place * 1_000_000) for place in range(50))
    assert sum(RateCap(1_000, burst).takes(0) for _ in range(1)) == 1


def test_a_full_cap_refuses_and_recovers() -> None:
    cap = RateCap(1_000, burst=3)
    assert [cap.takes(0) for _ in range(5)] == [True, True, True, False, False]
    assert [cap.takes(2_000_000) for _ in range(3)] == [True, True, False]


def test_caps_keep_their_distance_from_the_limit() -> None:
    limit = Limit(kind="tap", pps=60_000, size=242, n_frames=1)
    assert cap_of(None, limit) == 30_000
    assert cap_of(None, None) == 40_000
    assert cap_of(48_000, limit) == 48_000
    assert cap_of(48_001, None) == 48_001
    with pytest.raises(UsageError, match=r"a cap of 48 kpps is more than 80% of the 60 kpps"):
        cap_of(48_001, limit)
    assert cap_text(30_000, None).endswith("was not measured")
