"""The campaign file: strict, with errors that name the place, and a plan that follows from it alone."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from harness.campaign.plan import boot_limit_ns, digest, load, ordered, recording_of
from harness.campaign.text import format_plan
from harness.errors import ScenarioError
from harness.model.campaign import Campaign, Doctor, Receive
from harness.model.campaign_text import filled, parse_campaign
from harness.units import NS_PER_S

RECEIVE = 'do = "receive"\ngroups = ["239.255.143.9:5143"]\nduration = "60s"\n'
SIGN = '[reproduced_when]\nfirst_packet_after = "5s"\n'
HEAD = 'name = "night"\n'


def step(text: str) -> str:
    return f"[[step]]\n{text}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ('name = "../x"\n' + step(RECEIVE), "names a folder"),
        (HEAD, "missing required field `step`"),
        (HEAD + "step = []", r"no \[\[step\]\]"),
        (HEAD + "repeat = 3\n" + step(RECEIVE), "unknown key 'repeat' in the top level; did you mean 'repeats'"),
        (HEAD + step('do = "recieve"'), "step 1 does 'recieve', which is no step; did you mean 'receive'"),
        (HEAD + step('interface = "eth0"'), "step 1 has no do"),
        (HEAD + step(RECEIVE + 'durration = "1s"'), "unknown key 'durration' in step 1; did you mean 'duration'"),
        (HEAD + step(RECEIVE.replace("60s", "60")), "step 1, duration: duration '60' has no unit"),
        (HEAD + step(RECEIVE.replace(":5143", "")), "step 1, groups: .* has no port"),
        (HEAD + step('do = "receive"\nduration = "1s"'), "takes either scenario or groups"),
        (HEAD + step('do = "reopen"\nat = "1s"'), "step 1: reopen belongs below a receive"),
        (HEAD + step('do = "reboot"'), "step 1: reboot needs your word: allow_reboot = true"),
        (HEAD + "allow_reboot = true\n" + step('do = "reboot"') + step(RECEIVE), "make it the last step"),
        (HEAD + step('do = "sleep"\nduration = "5s"'), "allow_sleep = true"),
        (HEAD + step('do = "command"\nrun = []'), "run: empty"),
        (HEAD + step('do = "doctor"\ninterface = "{nick}"') + '[matrix]\nnic = ["a"]', "no variable 'nick' .*'nic'"),
        (HEAD + step(RECEIVE) + "[matrix]\nnic = []", "matrix, nic: no value"),
        (HEAD + step(RECEIVE) + '[matrix]\nnic = ["a", "a"]', "matrix, nic: a value stands there twice"),
        (HEAD + step(RECEIVE) + '[matrix]\n"n c" = ["a"]', "no name of a variable"),
        (HEAD + step(RECEIVE) + "[stop]\nboots = 0", "stop, boots: 0 would end the campaign"),
        (HEAD + step(RECEIVE) + '[stop]\ntime = "8"', "stop, time: duration '8' has no unit"),
        (HEAD + step(RECEIVE) + '[[host]]\nname = "a"\nkind = "local"', 'is of kind = "ssh"'),
        (HEAD + "repeats = 0\n" + step(RECEIVE), "repeats 0 is not a sensible number"),
        (HEAD + "repeats = 90000\n" + step(RECEIVE) + '[matrix]\na = ["1", "2"]', "180,000 boots; at most 100,000"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=f"^night.toml: .*{message}|^night.toml: {message}") as caught:
        parse_campaign(text, "night.toml")
    assert "\n" not in str(caught.value)


def written(folder: Path, text: str) -> Path:
    path = folder / "night.toml"
    path.write_text(text)
    return path


def test_campaign_that_does_not_say_what_the_fault_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nothing says what the fault looks like"):
        load(written(tmp_path, HEAD + step(RECEIVE)))
    assert load(written(tmp_path, HEAD + step(RECEIVE) + SIGN)).campaign.name == "night"


def test_missing_scenario_and_unknown_witness_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"step 1: scenario .*stage.toml cannot be read"):
        load(written(tmp_path, HEAD + step('do = "receive"\nscenario = "stage.toml"\nduration = "1s"') + SIGN))
    with pytest.raises(ScenarioError, match="step 1: witness 'tab' is no receiver"):
        load(written(tmp_path, HEAD + step(RECEIVE + 'witnesses = ["tab"]') + SIGN))
    with pytest.raises(ScenarioError, match=r"campaign .*x.toml cannot be read"):
        load(tmp_path / "x.toml")


def test_campaign_of_the_handbook_is_one(tmp_path: Path) -> None:
    handbook = (Path(__file__).parent.parent.parent / "docs" / "campaigns.md").read_text(encoding="utf-8")
    text = handbook.partition("```toml\n")[2].partition("```")[0]
    resolved = load(written(tmp_path, text))
    assert len(ordered(resolved.campaign)) == 80
    assert "reopen at 30s" in format_plan(resolved)


def test_variables_reach_every_string_and_braces_can_be_written() -> None:
    (made,) = filled([Doctor(interface="{nic}-{{nic}}")], {"nic": "eth1"})
    assert made == Doctor(interface="eth1-{nic}")


def campaign(**changes: object) -> Campaign:
    made = parse_campaign(HEAD + step(RECEIVE) + '[matrix]\na = ["1", "2"]\nb = ["x", "y", "z"]', "n")
    return msgspec.structs.replace(made, **changes)


def test_order_is_the_seeds_and_every_block_holds_each_combination_once() -> None:
    plan = ordered(campaign(repeats=20, seed=4))
    assert plan == ordered(campaign(repeats=20, seed=4))
    assert plan != ordered(campaign(repeats=20, seed=5))
    blocks = [tuple(tuple(sorted(values.items())) for values in plan[at : at + 6]) for at in range(0, 120, 6)]
    assert all(len(set(block)) == 6 for block in blocks)
    assert len(set(blocks)) > 10, "blocks are shuffled each for itself"
    assert set(Counter(block[0] for block in blocks).values()) != {20}


def test_timed_steps_become_events_of_the_recording_above_them(tmp_path: Path) -> None:
    steps = [
        step(RECEIVE + 'witnesses = ["second-socket"]'),
        step('do = "leave"\nat = "5s"'),
        step('do = "reopen"\nat = "30s"'),
        step('do = "note"\nat = "31s"\ntext = "reopened"'),
        step('do = "note"\ntext = "for the journal"'),
    ]
    resolved = load(written(tmp_path, HEAD + "".join(steps) + SIGN))
    scenario = recording_of(resolved, resolved.campaign.step, 0).scenario
    assert [(event.action, event.at) for event in scenario.event] == [
        ("leave", "5s"),
        ("reopen", "30s"),
        ("note", "31s"),
    ]
    assert scenario.receiver[0].witnesses == ["second-socket"]
    assert scenario.duration == "60s"


SCENARIO = """\
[[receiver]]
groups = ["239.255.143.9:5143"]
name = "app"
[[receiver]]
groups = ["239.255.143.9:5143"]
name = "beside"
[expect]
max_dropout = "1s"
"""


def test_receivers_that_are_witnesses_are_not_reopened(tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text(SCENARIO)
    receive = 'do = "receive"\nscenario = "stage.toml"\nduration = "9s"\nwitnesses = ["beside"]'
    resolved = load(written(tmp_path, HEAD + step(receive) + step('do = "reopen"\nat = "3s"')))
    recording = recording_of(resolved, resolved.campaign.step, 0)
    assert recording.witnesses == ("beside",)
    assert [(event.action, event.receiver) for event in recording.scenario.event] == [("reopen", "app")]
    assert isinstance(resolved.campaign.step[0], Receive)


def test_digest_follows_the_meaning_and_not_the_wording(tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text(SCENARIO)
    text = HEAD + step('do = "receive"\nscenario = "stage.toml"\nduration = "9s"')
    before = digest(load(written(tmp_path, text)))
    assert digest(load(written(tmp_path, "# a comment\n" + text))) == before
    assert digest(load(written(tmp_path, text.replace("9s", "8s")))) != before
    written(tmp_path, text)
    (tmp_path / "stage.toml").write_text(SCENARIO.replace("1s", "2s"))
    assert digest(load(tmp_path / "night.toml")) != before


def test_plan_shows_boots_steps_time_and_assumptions(tmp_path: Path) -> None:
    text = (
        'allow_reboot = true\nrepeats = 2\nboot_time = "50s"\n' + step(RECEIVE) + step('do = "reboot"')
        + SIGN + '[matrix]\naddress = ["dhcp", "static"]\n'
    )  # fmt: skip
    resolved = load(written(tmp_path, HEAD + text))
    said = format_plan(resolved)
    assert "night: 4 boots" in said
    assert "step 2  reboot" in said
    assert "static" in said
    # 4 x (60 s + 2 s) and 3 x (10 s countdown + 50 s boot)
    assert "about 7 min 8 s" in said
    assert "50s from the reboot to the next step" in said


def test_boot_limit_follows_from_the_steps_unless_given() -> None:
    assert boot_limit_ns(campaign()) == (60 + 30 + 60 + 120) * NS_PER_S
    assert boot_limit_ns(campaign(boot_limit="90s")) == 90 * NS_PER_S
