"""Multicast and UDP traffic test harness: send, receive, record, analyze, plot.

The names below are the whole Python API; they load on first use, so that importing `harness` costs nothing.

    import harness
    recording = harness.open("results/my-run")
    summary = harness.analyze(recording)
    harness.plot(summary, "plots/")
"""

__version__ = "0.1.0"
