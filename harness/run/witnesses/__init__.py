"""Witnesses: who listens beside the receivers of a run, so that what one of them did not hear has a place.

`scene` is the run as they see it, `attending` all of them together. `tap` listens at the interfaces, `second` and
`reopened` are further sockets of this program, `twin` the same sender's packets by unicast; `counting` counts what they
hear in bins, `listening` reads a socket for that, `told` makes series of the counts.
"""

from harness.run.witnesses.attending import Witnesses
from harness.run.witnesses.scene import Scene

__all__ = ["Scene", "Witnesses"]
