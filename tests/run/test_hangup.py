import signal
import subprocess
import sys

from harness.run.engine import ending_signals


def test_hangup_that_nohup_switched_off_ends_nothing() -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from harness.run.engine import ending_signals; print([s.name for s in ending_signals()])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['SIGINT', 'SIGTERM']"
    assert signal.SIGHUP in ending_signals()
