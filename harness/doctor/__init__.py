"""Can this host, this interface, this launcher send and receive multicast? Asked before anything is wrong.

`system` what the system says of itself, `live` what packets of one's own show, `querier` who asks for members,
`examine` all of it in order, `line` an answer: ok, suspicious, broken or unknown, with the remedy.
"""

from harness.doctor.examine import LISTEN_NS, examine, patient_of
from harness.doctor.line import Line, Patient, Status

__all__ = ["LISTEN_NS", "Line", "Patient", "Status", "examine", "patient_of"]
