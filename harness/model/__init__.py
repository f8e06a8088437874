"""The nouns: frozen values that every other package speaks in. No I/O, no clock, no arithmetic beyond their own.

`endpoint` where packets go, `interface` what they go through, `datagrams` a batch as read, `packets` the records on
disk, `stream` what a number stands for, `manifest` what a run was, `summary` what an analysis found, `membership` who
was asked for groups and who answered.
"""

from harness.model.datagrams import DATAGRAM_DTYPE, FLOW_BYTES, Datagrams, address_bytes, address_text
from harness.model.endpoint import Endpoint, IPAddress, Membership, parse_address, parse_endpoint
from harness.model.interface import AddressScope, Interface, InterfaceAddress
from harness.model.manifest import Clocks, Counters, End, Manifest, ReceiverInfo, SenderInfo
from harness.model.membership import (
    Member,
    MemberInterval,
    MembershipLink,
    MembershipTimeline,
    Querier,
    QuerierChange,
    QueryGap,
)
from harness.model.packets import PACKET_DTYPE, SENT_DTYPE, UNDEFINED_NS, UNNUMBERED, PacketArray, PacketFlag
from harness.model.stream import StreamInfo
from harness.model.summary import (
    Attribution,
    Distribution,
    Event,
    Limit,
    Mark,
    Parameters,
    Reordering,
    Schedule,
    SenderSummary,
    Series,
    StreamSummary,
    Summary,
    Thinning,
    Verdict,
    Window,
)

__all__ = [
    "DATAGRAM_DTYPE",
    "FLOW_BYTES",
    "PACKET_DTYPE",
    "SENT_DTYPE",
    "UNDEFINED_NS",
    "UNNUMBERED",
    "AddressScope",
    "Attribution",
    "Clocks",
    "Counters",
    "Datagrams",
    "Distribution",
    "End",
    "Endpoint",
    "Event",
    "IPAddress",
    "Interface",
    "InterfaceAddress",
    "Limit",
    "Manifest",
    "Mark",
    "Member",
    "MemberInterval",
    "Membership",
    "MembershipLink",
    "MembershipTimeline",
    "PacketArray",
    "PacketFlag",
    "Parameters",
    "Querier",
    "QuerierChange",
    "QueryGap",
    "ReceiverInfo",
    "Reordering",
    "Schedule",
    "SenderInfo",
    "SenderSummary",
    "Series",
    "StreamInfo",
    "StreamSummary",
    "Summary",
    "Thinning",
    "Verdict",
    "Window",
    "address_bytes",
    "address_text",
    "parse_address",
    "parse_endpoint",
]
