"""What a search for the loss-free rate tried and found: `search.json`, and what its figure is drawn from."""

from __future__ import annotations

from typing import Literal

import msgspec

SEARCH_VERSION = 1

TrialVerdict = Literal["loss-free", "loss", "own-buffer", "sender-limited"]
"""What a trial says of its load. Only "loss-free" lets it pass and only "loss" is the network's: with "own-buffer" this
host's receiver lost packets that had arrived, with "sender-limited" the load was never offered."""

SearchMethod = Literal["rfc2544", "mlrsearch"]
SearchEnd = Literal["resolved", "highest passed", "lowest failed", "trials", "time", "interrupted", "error"]


class SearchTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One trial: a whole run of sender and receiver at one load.

    Attributes:
      asked_pps: the load that the search asked for.
      offered_pps: the rate at which packets really left, by the sender's log; None with fewer than two packets.
      scheduled, sent: packets due, and packets that the kernel took.
      received: first copies.
      lost: sent - received, `own_buffer` among them.
      own_buffer: dropped by the receiver's socket buffer, with offload at most; None where the system does not tell.
      loss_ratio: lost / sent; None when nothing was sent.
      late_max_ns: the latest packet's time from due to sent.
    """

    number: int
    asked_pps: float
    offered_pps: float | None
    duration_ns: int
    scheduled: int
    sent: int
    received: int
    lost: int
    own_buffer: int | None
    loss_ratio: float | None
    late_max_ns: int | None
    verdict: TrialVerdict


class SearchResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search, complete or broken off.

    Attributes:
      throughput_pps: the highest load that passed; None when none did.
      upper_bound_pps: the lowest load that did not pass; None when every load passed.
      limited_by: why the load of `upper_bound_pps` did not pass; None without one.
      end: why the search stopped; "resolved" when the bounds are within `resolution_pps`.
      error: for the end "error", what went wrong in one line.
    """

    version: int = SEARCH_VERSION
    method: SearchMethod
    group: str
    interface: str | None
    receive_interface: str | None
    size: int
    offload: bool
    buffer_bytes: int | None
    trial_ns: int
    lowest_pps: float
    highest_pps: float
    resolution_pps: float
    loss_tolerance: float
    trials: list[SearchTrial]
    throughput_pps: float | None
    upper_bound_pps: float | None
    limited_by: TrialVerdict | None
    end: SearchEnd
    error: str | None = None
    notes: list[str] = []
