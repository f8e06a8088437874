"""From one scenario to the shares of its hosts, and what is refused on the way."""

from pathlib import Path

import pytest

from harness.errors import ScenarioError, UsageError
from harness.model.scenario_hosts import with_host
from harness.model.scenario_text import check_scenario, parse_scenario
from harness.run import is_distributed, resolve
from harness.run.split import split

LAB = """
seed = 7
[[host]]
name = "a"
kind = "namespace"
namespace = "blue"
[[host]]
name = "b"
kind = "ssh"
address = "10.0.0.2"
[[stream]]
host = "b"
group = "239.1.2.3:5000"
count = 10
[stream.impair]
loss = "1%"
[[stream]]
group = "239.1.2.4:5000"
count = 10
[stream.impair]
loss = "1%"
seed = 5
[[receiver]]
host = "a"
name = "x"
groups = ["239.1.2.3:5000"]
[[receiver]]
host = "a"
name = "y"
groups = ["239.1.2.4:5000"]
[[receiver]]
host = "b"
groups = ["239.1.2.4:5000"]
[[event]]
at = "1s"
action = "reopen"
receiver = "a/x"
[[event]]
at = "2s"
action = "leave"
[[event]]
at = "3s"
action = "note"
text = "hello"
[[event]]
at = "4s"
action = "join"
receiver = "b"
"""


def test_every_host_gets_its_own_and_ids_and_seeds_are_those_of_one_machine() -> None:
    scenario = parse_scenario(LAB, "lab.toml")
    assert is_distributed(scenario)
    shares = {share.host.name: share.scenario for share in split(scenario)}
    assert list(shares) == ["b", "local", "a"]
    assert [(s.stream, s.group, s.host) for share in shares.values() for s in share.stream] == [
        (1, "239.1.2.3:5000", None),
        (2, "239.1.2.4:5000", None),
    ]
    one_machine = resolve(parse_scenario(LAB.partition("[[receiver]]")[0].replace("host = ", "# "), "lab.toml"))
    seeds = [s.impair.seed for share in shares.values() for s in share.stream if s.impair]
    assert seeds == [s.impairment.seed for s in one_machine.streams if s.impairment]
    events = {name: [(e.at, e.action, e.receiver) for e in share.event] for name, share in shares.items()}
    assert events == {
        "a": [("1s", "reopen", "x"), ("2s", "leave", "x"), ("2s", "leave", "y")],
        "b": [("2s", "leave", ""), ("4s", "join", "")],
        "local": [],
    }


def test_files_that_a_part_names_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "offsets.txt").write_text("0\n1ms\n")
    schema = tmp_path / "console.py"
    schema.write_text("CONSOLE = 1\n")
    text = LAB.replace("count = 10\n", 'count = 10\nschedule = "file:offsets.txt"\n', 1)
    text = text.replace('name = "y"', f'name = "y"\nprotocol = "{schema}:CONSOLE"')
    shares = {share.host.name: share for share in split(parse_scenario(text, "lab.toml"), tmp_path)}
    assert shares["b"].files == {"schedule-1.txt": "0\n1ms\n"}
    assert shares["b"].scenario.stream[0].schedule == "file:schedule-1.txt"
    assert shares["a"].files == {"schema_2.py": "CONSOLE = 1\n"}
    assert shares["a"].scenario.receiver[1].protocol == "schema_2.py:CONSOLE"
    (tmp_path / "offsets.txt").unlink()
    with pytest.raises(UsageError, match=r"offsets\.txt"):
        split(parse_scenario(text, "lab.toml"), tmp_path)


def test_host_is_given_anew_from_outside() -> None:
    scenario = parse_scenario(LAB, "lab.toml")
    changed = with_host(scenario, 'b = { kind = "local" }', "--host")
    assert [(host.name, host.kind) for host in changed.host] == [("a", "namespace"), ("b", "local")]
    for text, says in (
        ("c = {}", r"no host 'c'"),
        ('b = { kind = "moon" }', "moon"),
        ('b = { colour = "red" }', "colour"),
        ("b", "write 'rx = "),
        ("b = 3", "write 'rx = "),
        ("b = {}\na = {}", "write 'rx = "),
    ):
        with pytest.raises(ScenarioError, match=says):
            with_host(scenario, text, "--host")
    with pytest.raises(ScenarioError, match="needs address"):
        check_scenario(with_host(scenario, 'b = { kind = "ssh" }', "--host"), "lab.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('namespace = "blue"', "", 'kind = "namespace" needs namespace'),
        ('address = "10.0.0.2"', "", 'kind = "ssh" needs address'),
        ('namespace = "blue"', 'namespace = "blue"\nuser = "me"', "user means nothing to kind"),
        ('"10.0.0.2"', '"-oProxyCommand=x"', "begins with '-'"),
        ('"10.0.0.2"', '"10.0.0.2"\nport = 70000', "port 70000"),
        ('"10.0.0.2"', '"10.0.0.2"\nretry = "soon"', "host 2, b, retry"),
        ('name = "b"', 'name = "a"', "names more than one host"),
        ('name = "b"', 'name = "../b"', "is no name"),
        ('name = "y"', 'name = "x"', "more than one receiver of host a"),
        ('name = "y"', "", "more than one receiver of host a"),
        ('name = "y"', 'name = "y/z"', "is no name"),
        ('receiver = "a/x"', 'receiver = "a/z"', "no receiver 'a/z'; did you mean 'a/"),
    ],
)
def test_hosts_that_cannot_be_are_refused_by_name(old: str, new: str, says: str) -> None:
    assert old in LAB
    with pytest.raises(ScenarioError, match=says) as raised:
        parse_scenario(LAB.replace(old, new, 1), "lab.toml")
    assert "\n" not in str(raised.value)


def test_two_streams_that_cannot_be_told_apart_and_counting_are_refused() -> None:
    with pytest.raises(UsageError, match="two streams with id 1"):
        split(
            parse_scenario(LAB.replace("239.1.2.4:5000", "239.1.2.3:5000").replace("count", "stream = 1\ncount"), "x")
        )
    with pytest.raises(UsageError, match="never ends"):
        split(parse_scenario(LAB.replace("count = 10", ""), "x"))
    with pytest.raises(UsageError, match="one machine"):
        split(parse_scenario('record = "counters"\n' + LAB, "x"))


def test_one_local_host_needs_no_agent_and_its_events_find_their_receiver() -> None:
    text = """
[[host]]
name = "here"
[[receiver]]
host = "here"
name = "x"
interface = "lo"
groups = ["239.1.2.3:5000"]
[[event]]
at = "1s"
action = "leave"
receiver = "here/x"
"""
    scenario = parse_scenario(text, "x.toml")
    assert not is_distributed(scenario)
    assert [event.receiver for event in resolve(scenario).events] == ["x"]
