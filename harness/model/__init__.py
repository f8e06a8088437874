"""The nouns: frozen values that every other package speaks in. No I/O, no clock, no arithmetic beyond their own.

`endpoint` where packets go, `interface` what they go through, `datagrams` a batch as read, `packets` the records on
disk, `trains` many of those as one, `stream` what a number stands for, `manifest` what a run was, `summary` what an
analysis found, `membership` who was asked for groups and who answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.model.datagrams import DATAGRAM_DTYPE as DATAGRAM_DTYPE
    from harness.model.datagrams import FLOW_BYTES as FLOW_BYTES
    from harness.model.datagrams import Alike as Alike
    from harness.model.datagrams import Batch as Batch
    from harness.model.datagrams import Datagrams as Datagrams
    from harness.model.datagrams import Runs as Runs
    from harness.model.datagrams import address_bytes as address_bytes
    from harness.model.datagrams import address_text as address_text
    from harness.model.endpoint import Endpoint as Endpoint
    from harness.model.endpoint import IPAddress as IPAddress
    from harness.model.endpoint import Membership as Membership
    from harness.model.endpoint import parse_address as parse_address
    from harness.model.endpoint import parse_endpoint as parse_endpoint
    from harness.model.evidence_change import Change as Change
    from harness.model.evidence_change import ObservedChange as ObservedChange
    from harness.model.interface import AddressScope as AddressScope
    from harness.model.interface import Interface as Interface
    from harness.model.interface import InterfaceAddress as InterfaceAddress
    from harness.model.manifest import CardClock as CardClock
    from harness.model.manifest import Clocks as Clocks
    from harness.model.manifest import Counters as Counters
    from harness.model.manifest import End as End
    from harness.model.manifest import HostInfo as HostInfo
    from harness.model.manifest import Manifest as Manifest
    from harness.model.manifest import ReceiverInfo as ReceiverInfo
    from harness.model.manifest import SenderInfo as SenderInfo
    from harness.model.manifest import SentCount as SentCount
    from harness.model.membership import Member as Member
    from harness.model.membership import MemberInterval as MemberInterval
    from harness.model.membership import MembershipLink as MembershipLink
    from harness.model.membership import MembershipTimeline as MembershipTimeline
    from harness.model.membership import Querier as Querier
    from harness.model.membership import QuerierChange as QuerierChange
    from harness.model.membership import QueryGap as QueryGap
    from harness.model.packets import PACKET_DTYPE as PACKET_DTYPE
    from harness.model.packets import SENT_DTYPE as SENT_DTYPE
    from harness.model.packets import UNDEFINED_NS as UNDEFINED_NS
    from harness.model.packets import UNNUMBERED as UNNUMBERED
    from harness.model.packets import PacketArray as PacketArray
    from harness.model.packets import PacketFlag as PacketFlag
    from harness.model.packets import SentFlag as SentFlag
    from harness.model.packets import join_records as join_records
    from harness.model.stream import StreamInfo as StreamInfo
    from harness.model.summary import Attribution as Attribution
    from harness.model.summary import Distribution as Distribution
    from harness.model.summary import Event as Event
    from harness.model.summary import Limit as Limit
    from harness.model.summary import LossPattern as LossPattern
    from harness.model.summary import Mark as Mark
    from harness.model.summary import Parameters as Parameters
    from harness.model.summary import Reordering as Reordering
    from harness.model.summary import Schedule as Schedule
    from harness.model.summary import SenderSummary as SenderSummary
    from harness.model.summary import Series as Series
    from harness.model.summary import StreamSummary as StreamSummary
    from harness.model.summary import Summary as Summary
    from harness.model.summary import Thinning as Thinning
    from harness.model.summary import Verdict as Verdict
    from harness.model.summary import Window as Window
    from harness.model.trains import TRAIN_DTYPE as TRAIN_DTYPE
    from harness.model.trains import TrainArray as TrainArray
    from harness.model.trains import expand_trains as expand_trains

_MODULES = {
    "datagrams": (
        "Alike",
        "Batch",
        "DATAGRAM_DTYPE",
        "Datagrams",
        "FLOW_BYTES",
        "Runs",
        "address_bytes",
        "address_text",
    ),
    "endpoint": (
        "Endpoint",
        "IPAddress",
        "Membership",
        "parse_address",
        "parse_endpoint",
    ),
    "evidence_change": (
        "Change",
        "ObservedChange",
    ),
    "interface": (
        "AddressScope",
        "Interface",
        "InterfaceAddress",
    ),
    "manifest": (
        "CardClock",
        "Clocks",
        "Counters",
        "End",
        "HostInfo",
        "Manifest",
        "ReceiverInfo",
        "SenderInfo",
        "SentCount",
    ),
    "membership": (
        "Member",
        "MemberInterval",
        "MembershipLink",
        "MembershipTimeline",
        "Querier",
        "QuerierChange",
        "QueryGap",
    ),
    "packets": (
        "PACKET_DTYPE",
        "PacketArray",
        "PacketFlag",
        "SENT_DTYPE",
        "SentFlag",
        "UNDEFINED_NS",
        "UNNUMBERED",
        "join_records",
    ),
    "stream": ("StreamInfo",),
    "summary": (
        "Attribution",
        "Distribution",
        "Event",
        "Limit",
        "LossPattern",
        "Mark",
        "Parameters",
        "Reordering",
        "Schedule",
        "SenderSummary",
        "Series",
        "StreamSummary",
        "Summary",
        "Thinning",
        "Verdict",
        "Window",
    ),
    "trains": (
        "TRAIN_DTYPE",
        "TrainArray",
        "expand_trains",
    ),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
