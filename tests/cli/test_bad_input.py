"""Every mistake gets one line: what, where, what to do; exit code 2; never a traceback."""

import shlex
from pathlib import Path

import pytest

from harness.cli import main

MISTAKES = [
    ("send 239.1.2.3", "has no port"),
    ("send 239.1.2.3:0", "1 to 65535"),
    ("send ff15::1:5000", "write [ff15::1]:5000"),
    ("send [ff15::1]", "for example [ff15::1]:5000"),
    ("send 127.0.0.1:5000 --ttl 0", "only a multicast group"),
    ("receive 239.1.2.3:5000 --buffer 0", "between 1 B and 1 GiB"),
    ("receive 239.1.2.3:5000 --buffer 99GB", "between 1 B and 1 GiB"),
    ("send [ff15::1]:5000", "name it with --interface"),
    ("send 239.1.2.3:5000 --rate 0pps", "sends nothing"),
    ("send 239.1.2.3:5000 --rate 10000Mpps", "absurd"),
    ("send 239.1.2.3:5000 --rate 1000", "has no unit"),
    ("send 239.1.2.3:5000 --duration 60", "has no unit"),
    ("send 239.1.2.3:5000 --precise --rate 30kpps", "every 50 µs or slower"),
    ("send 239.1.2.3:5000 239.1.2.4:5000 --precise", "send it alone"),
    ("send 239.1.2.3:5000 --size 63", "64 to 65507"),
    ("send 239.1.2.3:5000 --size 65508", "64 to 65507"),
    ("send 239.1.2.3:5000 --ttl 256", "outside 0 to 255"),
    ("send 239.1.2.3:5000 --count 0", "outside 1"),
    ("send 239.1.2.3:5000 --interface nope0", "nope0"),
    ("send 239.1.2.3:5000 --interface lo,eth0", "lo,eth0"),
    ("send 239.1.2.3:5000 --schedule brust:on=1s,off=1s", "did you mean 'burst'"),
    ("send 239.1.2.3:5000 --schedule file:missing.txt", "missing.txt"),
    ("send 239.1.2.3:5000 239.1.2.3:5000 --stream 3", "two streams with id 3"),
    ("receive 239.1.2.3:5000 --source fe80::1", "different IP versions"),
    ("receive 239.1.2.3:5000 --source 239.1.1.1", "unicast address"),
    ("receive 127.0.0.1:5000 --source 127.0.0.1", "only a multicast group"),
    ("receive 239.1.2.3:5000 239.1.2.3:5000", "named twice"),
    ("receive 239.1.2.3:5000 --protocol rpt", "is not a known protocol"),
    ("receive 239.1.2.3:5000 --protocol nofile.py:X", "nofile.py"),
    ('receive 239.1.2.3:5000 --at "5s reopn"', "did you mean 'reopen'"),
    ('receive 239.1.2.3:5000 --at "reopen"', "--at"),
    ('receive 239.1.2.3:5000 --at "5s reopen 239.1.2.3:5000"', "takes no group"),
    ("receive 239.1.2.3:5000 --buffer 8XB", "unknown unit"),
    ("receive 239.1.2.3:5000 --max-loss 200%", "outside 0 to 100 %"),
    ("receive 239.1.2.3:5000 --output /proc/nothing/here", "--output"),
    ("receive", "required"),
    ("run missing.toml", "missing.toml"),
    ("run demoo", "did you mean 'demo'"),
    ("analyze missing", "does not exist"),
    ("analyze .", "is no run"),
    ("analyze missing.pcap", "missing.pcap"),
    ("plot missing", "does not exist"),
    ("report missing", "does not exist"),
    ("export missing out.csv", "does not exist"),
    ("export . out.xlsx", "names no format"),
    ("protocols nope", "is not a known protocol"),
    ("recieve 239.1.2.3:5000", "did you mean 'receive'"),
    ("interfaces nope0", "nope0"),
    ("bench --output .", "name a file in it, such as bench.json"),
    ("completion fish", "fish"),
]


@pytest.mark.parametrize(("line", "says"), MISTAKES)
def test_mistake_is_one_line_and_exit_code_two(
    line: str, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(shlex.split(line))
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    shown = capsys.readouterr()
    assert code == 2
    assert says in shown.err
    assert len(shown.err.strip().splitlines()) == 1, shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []
