"""Recordings are opened by several threads at once, as a run over several hosts does when it brings them home."""

import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "results" / "sample"
OPEN_AT_ONCE = """
import sys, threading
from pathlib import Path
from harness.store import open_run
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)
opened = []
def work():
    together.wait()
    opened.append(open_run(Path(sys.argv[1])).manifest.kind)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(opened))
"""


def test_the_first_recordings_of_a_process_may_be_opened_by_threads_at_once() -> None:
    for _ in range(12):  # before types were built at import, one process in four died by a null pointer
        done = subprocess.run(
            [sys.executable, "-c", OPEN_AT_ONCE, str(SAMPLE)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
