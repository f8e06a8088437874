import itertools
from collections import Counter
from collections.abc import Iterable

import pytest
import wire_helpers as h
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.lab.wire import Faults, FrameRecord
from harness.lab.wire.cap import RateCap
from harness.lab.wire.plan import plan_of

MS = 1_000_000
FRAMES = [h.udp_frame(h.probe(seq)) for seq in range(3_000)]
OTHERS = [bytes(12) + b"\x08\x06" + bytes(46), h.udp_frame(b"x", "239.9.9.9"), h.udp_frame(b"", "ff15::1")]
NUMBER = {frame: seq for seq, frame in enumerate(FRAMES)}


def machine(text: str) -> Faults:
    faults = Faults(plan_of(h.spec_of(text)))
    faults.start(0)
    return faults


def through(faults: Faults, seqs: Iterable[int], gap_ns: int = MS, from_ns: int = 0) -> list[tuple[int, int]]:
    """Offer probes at even times, releasing what is due between them and after; return (time, seq) as they left."""
    left = list[tuple[int, int]]()

    def release(until_ns: int) -> None:
        while (due_ns := faults.next_due_ns) is not None and due_ns <= until_ns:
            left.extend((due_ns, NUMBER.get(sent.data, -1)) for sent in faults.due(due_ns))

    now_ns = from_ns
    for place, seq in enumerate(seqs):
        now_ns = from_ns + place * gap_ns
        release(now_ns)
        left.extend((now_ns, NUMBER.get(sent.data, -1)) for sent in faults.offer(0, FRAMES[seq], now_ns))
    release(now_ns + 3_600_000 * MS)
    return left


def seqs_of(left: list[tuple[int, int]]) -> list[int]:
    return [seq for _, seq in left]


def of(records: list[FrameRecord], did: str) -> list[int | None]:
    return [record.seq for record in records if record.did == did]


def test_without_faults_everything_passes_and_nothing_is_logged() -> None:
    faults = machine("")
    assert through(faults, range(5)) == [(seq * MS, seq) for seq in range(5)]
    assert faults.take_records() == []


def test_a_list_of_numbers_is_dropped() -> None:
    faults = machine('[[fault]]\nkind = "loss"\nseqs = [2, "5-7"]')
    assert seqs_of(through(faults, [0, 1, 2, 3, 5, 2, 8])) == [0, 1, 3, 8]
    records = faults.take_records()
    assert of(records, "dropped") == [2, 5, 2]
    assert records[0] == FrameRecord(
        frame=3, direction="forward", did="dropped", monotonic_ns=2 * MS, fault="1 loss", to="239.1.2.3:5000", stream=7,
        epoch=9, seq=2,
    )  # fmt: skip


def test_the_nth_matching_frame_is_counted_among_matching_ones_while_active() -> None:
    faults = machine('[[fault]]\nkind = "loss"\nnths = [2]\ngroup = "239.1.2.3"\nfrom = "10ms"')
    assert len(faults.offer(0, FRAMES[0], 0)) == 1  # too early to count
    assert len(faults.offer(0, OTHERS[1], 11 * MS)) == 1
    assert seqs_of(through(faults, [1, 2, 3], from_ns=12 * MS)) == [1, 3]


def test_a_fault_is_active_from_its_first_to_before_its_last_nanosecond() -> None:
    faults = machine('[[fault]]\nkind = "dropout"\nfrom = "2ms"\nuntil = "4ms"')
    times = [2 * MS - 1, 2 * MS, 4 * MS - 1, 4 * MS]
    assert [len(faults.offer(0, FRAMES[0], now_ns)) for now_ns in times] == [1, 0, 0, 1]


def test_before_the_start_no_fault_is_active() -> None:
    faults = Faults(plan_of(h.spec_of('[[fault]]\nkind = "loss"\nnths = [1]')))
    assert len(faults.offer(0, FRAMES[0], 5 * MS)) == 1
    faults.start(7 * MS)
    assert [len(faults.offer(0, FRAMES[0], now_ns)) for now_ns in (6 * MS, 7 * MS, 8 * MS)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ('frames = "all"', [0, 0, 0, 0]),
        ("", [0, 1, 0, 0]),
        ('group = "239.9.9.9"', [1, 1, 0, 1]),
        ('group = "239.9.9.9:5000"', [1, 1, 0, 1]),
        ('group = "239.9.9.9:5001"', [1, 1, 1, 1]),
        ('group = "ff15::1"', [1, 1, 1, 0]),
        ("port = 5000", [0, 1, 0, 0]),
        ('frames = "membership"', [1, 1, 1, 1]),
        ('direction = "forward"', [0, 1, 0, 0]),
        ('direction = "backward"', [1, 1, 1, 1]),
    ],
)
def test_only_what_matches_is_hit(match: str, expected: list[int]) -> None:
    faults = machine(f'[[fault]]\nkind = "dropout"\n{match}')
    assert [len(faults.offer(0, frame, 0)) for frame in [FRAMES[0], *OTHERS]] == expected


def test_copies_follow_at_once() -> None:
    faults = machine('[[fault]]\nkind = "duplicate"\nseqs = [1]\ncopies = 2')
    assert seqs_of(through(faults, range(3))) == [0, 1, 1, 1, 2]
    (record,) = faults.take_records()
    assert (record.did, record.seq, record.copies) == ("duplicated", 1, 2)
    assert faults.counts[0].n_duplicated == 2


@pytest.mark.parametrize(("displacement", "expected"), [(1, [0, 2, 1, 3, 4]), (3, [0, 2, 3, 4, 1])])
def test_exactly_so_many_overtake(displacement: int, expected: list[int]) -> None:
    faults = machine(f'[[fault]]\nkind = "reorder"\nseqs = [1]\nexact = true\ndisplacement = {displacement}')
    assert seqs_of(through(faults, range(5))) == expected


def test_a_frame_that_nothing_overtakes_leaves_in_time() -> None:
    faults = machine('[[fault]]\nkind = "reorder"\nseqs = [4]\ntimeout = "20ms"')
    assert through(faults, range(5))[-1] == (24 * MS, 4)
    assert [record.did for record in faults.take_records()] == ["held", "sent"]


def test_a_frame_held_by_a_fault_that_is_over_is_still_overtaken() -> None:
    faults = machine('[[fault]]\nkind = "reorder"\nseqs = [1]\nexact = true\ndisplacement = 2\nuntil = "2ms"')
    assert through(faults, range(5)) == [(0, 0), (2 * MS, 2), (3 * MS, 3), (3 * MS, 1), (4 * MS, 4)]


def test_only_frames_of_the_fault_and_direction_count_as_overtaking() -> None:
    faults = machine('[[fault]]\nkind = "reorder"\nseqs = [1]\nexact = true\ndisplacement = 1\ngroup = "239.1.2.3"')
    assert faults.offer(0, FRAMES[1], 0) == []
    assert len(faults.offer(0, OTHERS[1], 0)) == 1
    assert len(faults.offer(1, FRAMES[2], 0)) == 1
    assert [NUMBER[sent.data] for sent in faults.offer(0, FRAMES[2], 0)] == [2, 1]


def test_a_delay_is_kept_to_the_nanosecond() -> None:
    faults = machine('[[fault]]\nkind = "delay"\ndelay = "20ms"')
    assert through(faults, range(3)) == [(20 * MS, 0), (21 * MS, 1), (22 * MS, 2)]
    records = faults.take_records()
    assert [(record.did, record.until_ns) for record in records[:1]] == [("held", 20 * MS)]
    assert of(records, "sent") == [0, 1, 2]


def test_jitter_stays_within_its_bounds_and_reorders_unless_told_not_to() -> None:
    text = '[[fault]]\nkind = "delay"\ndelay = "5ms"\njitter = "10ms"\n'
    free = through(machine(text), range(1_000))
    late = [now_ns - seq * MS for now_ns, seq in free]
    assert 5 * MS <= min(late) < 5.1 * MS
    assert 14.9 * MS < max(late) <= 15 * MS
    assert seqs_of(free) != sorted(seqs_of(free))
    kept = through(machine(text + "keep_order = true"), range(1_000))
    assert seqs_of(kept) == list(range(1_000))


def test_power_save_releases_at_ticks_and_when_it_ends() -> None:
    faults = machine('[[fault]]\nkind = "power-save"\nfrom = "10ms"\nuntil = "35ms"\ninterval = "10ms"')
    left = through(faults, range(40))
    expected = [(now_ns * MS, now_ns) for now_ns in range(11)]  # the tick at 10 ms holds nothing
    expected += [(20 * MS, seq) for seq in range(11, 21)] + [(30 * MS, seq) for seq in range(21, 31)]
    expected += [(35 * MS, seq) for seq in range(31, 35)] + [(seq * MS, seq) for seq in range(35, 40)]
    assert left == expected


def test_damage_is_logged_under_the_number_that_it_may_have_hit() -> None:
    faults = machine('[[fault]]\nkind = "corrupt"\nratio = "100%"\nbyte = 23')
    (sent,) = faults.offer(0, FRAMES[8], 0)
    (record,) = faults.take_records()
    assert (record.did, record.seq, record.byte) == ("corrupted", 8, 23)
    assert sent.data != FRAMES[8] == sent.original
    assert h.udp_checksum_errors(sent.data) == 0


def test_damage_at_random_hits_a_probe_behind_magic_and_version_and_any_byte_of_others() -> None:
    faults = machine('[[fault]]\nkind = "corrupt"\nratio = "100%"')
    for _ in range(400):
        faults.offer(0, FRAMES[0], 0)
    assert {record.byte for record in faults.take_records()} == set(range(12, 60))
    other = h.udp_frame(b"1234")
    for _ in range(100):
        faults.offer(0, other, 0)
    assert {record.byte for record in faults.take_records()} == {0, 1, 2, 3}
    faults.offer(0, h.udp_frame(b""), 0)
    assert faults.take_records() == []


def test_damage_is_not_undone_by_a_second_fault() -> None:
    faults = machine(2 * '[[fault]]\nkind = "corrupt"\nratio = "100%"\nbyte = 1\n')
    (sent,) = faults.offer(0, FRAMES[0], 0)
    assert sent.data != FRAMES[0]
    assert [record.fault for record in faults.take_records()] == ["1 corrupt"]


def test_the_first_fault_that_drops_is_named_and_nothing_else_is_counted() -> None:
    faults = machine(
        '[[fault]]\nkind = "duplicate"\nratio = "100%"\n[[fault]]\nkind = "loss"\nname = "a"\nseqs = [0]\n'
        '[[fault]]\nkind = "loss"\nname = "b"\nseqs = [0, 1]'
    )
    assert seqs_of(through(faults, range(3))) == [2, 2]
    assert faults.counts[0].n_dropped == {"a": 1, "b": 1}
    assert faults.counts[0].n_duplicated == 1
    assert of(faults.take_records(), "duplicated") == [2]


def test_no_more_than_the_limit_is_held() -> None:
    faults = machine('hold_limit = 3\n[[fault]]\nkind = "delay"\ndelay = "1s"')
    assert seqs_of(through(faults, range(5))) == [0, 1, 2]
    assert of(faults.take_records(), "hold_full") == [3, 4]
    assert faults.counts[0].n_hold_full == 2


def test_what_is_held_at_the_end_is_logged() -> None:
    faults = machine('[[fault]]\nkind = "delay"\ndelay = "1s"\n[[fault]]\nkind = "reorder"\nnths = [1]')
    faults.offer(0, FRAMES[0], 0)
    faults.offer(0, FRAMES[1], 0)
    faults.finish(5)
    assert of(faults.take_records(), "held_at_end") == [0, 1]
    assert faults.counts[0].n_held == 2
    assert faults.counts[0].imbalance == 0


def test_what_is_given_up_is_counted_and_logged() -> None:
    faults = machine("")
    faults.give_up(1, FRAMES[4], 3)
    assert of(faults.take_records(), "unread") == [4]
    assert (faults.counts[1].n_in, faults.counts[1].n_unread, faults.counts[1].imbalance) == (1, 1, 0)


def test_what_the_kernel_refuses_is_taken_back() -> None:
    faults = machine("")
    (sent,) = faults.offer(0, FRAMES[4], 0)
    faults.refused(sent, 5, 1)
    (record,) = faults.take_records()
    assert (record.did, record.seq, record.errno) == ("refused", 4, 5)
    assert (faults.counts[0].n_out, faults.counts[0].n_refused, faults.counts[0].imbalance) == (0, 1, 0)


def test_frames_above_the_cap_are_logged_and_reach_no_fault() -> None:
    plan = plan_of(h.spec_of('[[fault]]\nkind = "loss"\nnths = [2]'))
    faults = Faults(plan, RateCap(1_000, burst=1))
    faults.start(0)
    times = [0, 1, MS, 2 * MS]
    assert [len(faults.offer(0, FRAMES[seq], now_ns)) for seq, now_ns in enumerate(times)] == [1, 0, 0, 1]
    assert [(record.did, record.seq) for record in faults.take_records()] == [("over_rate", 1), ("dropped", 2)]


def test_every_frame_is_logged_in_the_order_of_leaving_if_asked() -> None:
    faults = machine('log = "all"\n[[fault]]\nkind = "reorder"\nseqs = [1]\nexact = true')
    left = seqs_of(through(faults, range(8)))
    assert of(faults.take_records(), "sent") == left == [0, 2, 3, 4, 1, 5, 6, 7]


def bursts(is_lost: list[bool]) -> list[int]:
    return [len(list(run)) for lost, run in itertools.groupby(is_lost) if lost]


@pytest.mark.parametrize(
    ("p", "r", "good", "bad"), [(0.02, 0.25, 0.0, 1.0), (0.3, 0.5, 0.0, 1.0), (0.1, 0.1, 0.05, 0.6)]
)
def test_gilbert_elliott_loses_as_its_chain_says(p: float, r: float, good: float, bad: float) -> None:
    n_frames = 100_000
    chain = f'gilbert = {{ p = "{p}", r = "{r}", good = "{good}", bad = "{bad}" }}'
    faults = machine(f'[[fault]]\nkind = "loss"\n{chain}')
    is_lost = [not faults.offer(0, FRAMES[0], 0) for _ in range(n_frames)]
    share_bad = p / (p + r)
    expected = share_bad * bad + (1 - share_bad) * good
    # neighbours are correlated by 1 - p - r, which widens the spread of the mean by (2 - p - r) / (p + r) at most
    sigma = (expected * (1 - expected) * max(1, (2 - p - r) / (p + r)) / n_frames) ** 0.5
    assert abs(sum(is_lost) / n_frames - expected) < 5 * sigma
    if (good, bad) == (0.0, 1.0):
        lengths = bursts(is_lost)
        sigma = ((1 - r) / r**2 / len(lengths)) ** 0.5
        assert abs(sum(lengths) / len(lengths) - 1 / r) < 5 * sigma
        n_long = sum(length >= 2 for length in lengths)  # geometric, not only in its mean
        assert abs(n_long / len(lengths) - (1 - r)) < 5 * (r * (1 - r) / len(lengths)) ** 0.5


def test_random_loss_loses_its_ratio_independently() -> None:
    faults = machine('[[fault]]\nkind = "loss"\nratio = "10%"')
    is_lost = [not faults.offer(0, FRAMES[0], 0) for _ in range(50_000)]
    assert abs(sum(is_lost) - 5_000) < 5 * (50_000 * 0.09) ** 0.5
    lengths = bursts(is_lost)
    assert abs(sum(lengths) / len(lengths) - 1 / 0.9) < 0.03


def test_seeds_differ_and_a_fault_may_have_its_own() -> None:
    def lost(text: str) -> list[int | None]:
        faults = machine(text)
        through(faults, range(2_000))
        return of(faults.take_records(), "dropped")

    fault = '[[fault]]\nkind = "loss"\nratio = "10%"\n'
    assert lost(f"seed = 1\n{fault}") == lost(f"seed = 1\n{fault}")
    assert lost(f"seed = 1\n{fault}") != lost(f"seed = 2\n{fault}")
    assert lost(f"seed = 1\n{fault}seed = 5") == lost(f"seed = 2\n{fault}seed = 5")
    both = machine(2 * fault)
    through(both, range(2_000))
    assert len(set(both.counts[0].n_dropped.values())) == 2  # two faults do not hit the same frames


def test_a_fault_more_leaves_the_decisions_of_the_others() -> None:
    def corrupted(text: str) -> set[int | None]:
        faults = machine(text)
        through(faults, range(2_000))
        return {record.seq for record in faults.take_records() if record.did == "corrupted"}

    corrupt = '[[fault]]\nkind = "corrupt"\nratio = "10%"\n'
    loss = '[[fault]]\nkind = "loss"\nseqs = ["0-99"]\n'
    assert corrupted(corrupt + loss) == {seq for seq in corrupted(corrupt) if seq is not None and seq > 99}


RATIOS = st.sampled_from(["0%", "5%", "30%", "100%"])


@st.composite
def fault_tables(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["loss", "dropout", "duplicate", "reorder", "corrupt", "delay", "power-save"]))
    lines = ["[[fault]]", f'kind = "{kind}"', f'direction = "{draw(st.sampled_from(["forward", "backward", "both"]))}"']
    if kind not in ("dropout", "power-save"):
        chain = f'gilbert = {{ p = "{draw(RATIOS)}", r = "20%" }}'
        lines.append(
            draw(st.sampled_from([f'ratio = "{draw(RATIOS)}"', chain, 'nths = [1, "3-9"]', 'seqs = ["5-20"]']))
        )
    from_ms = draw(st.integers(0, 40))
    lines += [f'from = "{from_ms}ms"', f'until = "{from_ms + draw(st.integers(1, 60))}ms"']
    extra = {
        "reorder": f'timeout = "{draw(st.integers(0, 20))}ms"\ndisplacement = {draw(st.integers(1, 5))}',
        "delay": f'delay = "{draw(st.integers(1, 30))}ms"\njitter = "{draw(st.integers(0, 9))}ms"',
        "duplicate": f"copies = {draw(st.integers(1, 3))}",
        "power-save": f'interval = "{draw(st.integers(1, 30))}ms"',
    }
    return "\n".join([*lines, extra.get(kind, "")])


@st.composite
def wires(draw: st.DrawFn) -> str:
    head = f"seed = {draw(st.integers(0, 9))}\nhold_limit = {draw(st.sampled_from([0, 3, 1_000]))}\n"
    return head + 'log = "all"\n' + "\n".join(draw(st.lists(fault_tables(), max_size=5)))


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 60)), min_size=1, max_size=80
)  # gap in ms, direction, which frame


@settings(max_examples=200, deadline=None)
@given(wires(), ARRIVALS, st.integers(0, 100), st.integers(1, 5))
def test_every_frame_is_accounted_for(
    text: str, arrivals: list[tuple[int, int, int]], wait_ms: int, a_batch: int
) -> None:
    faults = Faults(plan_of(h.spec_of(text)), RateCap(500, burst=30))
    faults.start(0)
    now_ns, left, came = 0, [Counter[int](), Counter[int]()], [0, 0]
    pool = [*FRAMES[:57], *OTHERS]

    def release(limit: int) -> None:
        for sent in faults.due(now_ns, limit):
            left[sent.direction][sent.number] += 1

    def check() -> None:
        for direction, counts in enumerate(faults.counts):
            assert counts.imbalance == 0
            assert counts.n_in == came[direction]
            assert counts.n_out == sum(left[direction].values())
            assert counts.n_duplicated == counts.n_out - len(left[direction])

    for gap_ms, direction, which in arrivals:
        now_ns += gap_ms * MS
        came[direction] += 1
        for sent in faults.offer(direction, pool[which % len(pool)], now_ns):
            left[sent.direction][sent.number] += 1
        release(a_batch)
        check()
    now_ns += wait_ms * MS
    while (due_ns := faults.next_due_ns) is not None and due_ns <= now_ns:
        release(a_batch)
    check()
    faults.finish(now_ns)
    check()
    assert not faults.due(now_ns + 10**12)
    # each frame has exactly one fate in the records, the one in the ledger
    records = faults.take_records()
    fates = Counter(record.frame for record in records if record.did in
                    ("sent", "dropped", "over_rate", "hold_full", "held_at_end"))  # fmt: skip
    assert fates == Counter(range(1, len(arrivals) + 1))
    for did, name in (("over_rate", "n_over_rate"), ("hold_full", "n_hold_full"), ("held_at_end", "n_held")):
        assert sum(record.did == did for record in records) == sum(getattr(counts, name) for counts in faults.counts)
    sent_frames = {record.frame for record in records if record.did == "sent"}
    assert sent_frames == {number for numbers in left for number in numbers}


@settings(max_examples=100, deadline=None)
@given(wires(), ARRIVALS, st.data())
def test_the_same_seed_decides_the_same_however_frames_are_batched(
    text: str, arrivals: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """The wire may look at its held frames after each frame or after many, and get few or many of them at a time."""

    def decide(looks: list[bool], limit: int) -> list[tuple[object, ...]]:
        faults, now_ns = machine(text.replace("hold_limit = 3", "hold_limit = 1000")), 0
        for (gap_ms, direction, which), is_looking in zip(arrivals, looks, strict=True):
            now_ns += gap_ms * MS
            faults.offer(direction, FRAMES[which], now_ns)
            if is_looking:
                faults.due(now_ns, limit)
        return sorted(
            (record.frame, record.did, record.fault or "", record.byte or 0, record.copies or 0, record.packets or 0)
            for record in faults.take_records()
            if record.did in ("dropped", "corrupted", "hold_full")
        )

    n_arrivals = len(arrivals)
    looks = data.draw(st.lists(st.booleans(), min_size=n_arrivals, max_size=n_arrivals))
    assert decide(looks, 1) == decide([True] * n_arrivals, 64) == decide([False] * n_arrivals, 64)
