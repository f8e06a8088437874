import pytest

from harness.errors import ScenarioError
from harness.model.scenario_text import parse_scenario

GOOD = """
name = "x"
duration = "3s"
[[host]]
name = "here"
[[stream]]
group = "239.1.2.3:5000"
host = "here"
rate = "1kpps"
[stream.impair]
loss = "1%"
dropouts = [{ at = "1s", lasts = "200ms" }]
[[receiver]]
name = "rx"
groups = ["239.1.2.3:5000"]
[[event]]
at = "2s"
action = "reopen"
receiver = "rx"
[expect]
max_loss = "10%"
"""


def test_good_scenario_is_read_whole() -> None:
    scenario = parse_scenario(GOOD, "x.toml")
    assert scenario.stream[0].impair is not None
    assert scenario.stream[0].impair.dropouts[0].lasts == "200ms"
    assert scenario.event[0].action == "reopen"
    assert scenario.expect.max_loss == "10%"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "x"', 'nmae = "x"', "unknown key 'nmae' in the top level; did you mean 'name'"),
        ('rate = "1kpps"', 'raet = "1kpps"', "unknown key 'raet' in stream 1; did you mean 'rate'"),
        ('rate = "1kpps"', "rate = 1000", "Expected `str`, got `int` at stream 1, rate"),
        ('rate = "1kpps"', 'rate = "1000"', "stream 1, rate: rate '1000' has no unit"),
        ('loss = "1%"', 'los = "1%"', "unknown key 'los' in stream 1, impair; did you mean 'loss'"),
        ('lasts = "200ms"', 'last = "200ms"', "did you mean 'lasts'"),
        ('lasts = "200ms"', 'lasts = "200"', "has no unit"),
        ('action = "reopen"', 'action = "reboot"', "event 1, action"),
        ('receiver = "rx"', 'receiver = "rxx"', "no receiver 'rxx'; did you mean 'rx'"),
        ('host = "here"', 'host = "there"', "no host 'there'; did you mean 'here'"),
        ('max_loss = "10%"', 'max_loss = "110%"', "outside 0 to 100 %"),
        ('max_loss = "10%"', 'max_los = "10%"', "unknown key 'max_los' in expect; did you mean 'max_loss'"),
        ('groups = ["239.1.2.3:5000"]', "groups = []", "receiver 1, groups: empty"),
        ('groups = ["239.1.2.3:5000"]', 'groups = ["239.1.2.3"]', "has no port"),
        ('[[receiver]]\nname = "rx"', "[receiver]", "at receiver"),
        ('name = "x"', "name = ", "not valid TOML"),
    ],
)
def test_mistake_is_named_with_its_place(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError) as error:
        parse_scenario(GOOD.replace(old, new), "x.toml")
    assert says in str(error.value)
    assert str(error.value).startswith("x.toml: ")
    assert "\n" not in str(error.value)


def test_scenario_without_traffic_is_refused() -> None:
    with pytest.raises(ScenarioError, match="nothing to do"):
        parse_scenario('name = "empty"', "x.toml")


def test_two_receivers_need_different_names() -> None:
    twice = '[[receiver]]\nname = "rx"\ngroups = ["239.1.2.3:5000"]\n' * 2
    with pytest.raises(ScenarioError, match="more than one receiver"):
        parse_scenario(twice, "x.toml")
