"""What is on the wire: bytes <-> fields. No socket, no clock, and nothing of `harness`.

`schema` describes a format (a Construct schema plus what its fields mean) and decodes whole batches; `probe` is the
test packet of this project; `registry` finds a format by name, by file or by looking at traffic; each other module is
one public format. Only the shared numbers are imported here, so that a command line's `--help` pays for no more.
"""

from protocols.flags import CORRUPT, DISCONTINUITY, END, RETRANSMITTED, TRUNCATED, UNDEFINED_NS, UNNUMBERED

__all__ = ["CORRUPT", "DISCONTINUITY", "END", "RETRANSMITTED", "TRUNCATED", "UNDEFINED_NS", "UNNUMBERED"]
