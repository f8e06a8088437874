"""Streams that should have been heard and were not: a recording has no row of them, and they matter most."""

from __future__ import annotations

from harness.model import Manifest, ReceiverInfo, SenderInfo, StreamInfo


def silent_streams(manifest: Manifest, senders: list[SenderInfo]) -> list[StreamInfo]:
    """Return an entry for each stream that a receiver asked for and never heard.

    Args:
      manifest: of the receiving run.
      senders: streams known to have been sent, of this run or of the sender's.

    Returns:
      Known streams by their sender's word; and for a group from which nothing at all came, and that nobody is known to
      have sent to, an entry without a schedule: whether there was a source is unknowable then.
    """
    silent: list[StreamInfo] = []
    first_number = max((info.number for info in manifest.streams), default=-1) + 1
    heard = {(info.receiver, info.stream_id, info.epoch) for info in manifest.streams}
    heard_groups = {(info.receiver, info.group) for info in manifest.streams}
    for receiver in manifest.receivers:
        for group in receiver.groups:
            wanted = [info for info in senders if info.group == group and _is_wanted(receiver, info)]
            for info in wanted:
                if (receiver.name, info.stream_id, info.epoch) not in heard:
                    silent.append(_known(first_number + len(silent), receiver, info))
            if not wanted and (receiver.name, group) not in heard_groups:
                silent.append(
                    StreamInfo(
                        number=first_number + len(silent),
                        receiver=receiver.name,
                        group=group,
                        interface=receiver.interface,
                        protocol=receiver.protocol,
                    )
                )
    return silent


def _is_wanted(receiver: ReceiverInfo, sender: SenderInfo) -> bool:
    """Whether a receiver's join covers a sender: any source, or just this one."""
    return receiver.source is None or sender.source.rpartition(":")[0].strip("[]") == receiver.source


def _known(number: int, receiver: ReceiverInfo, sender: SenderInfo) -> StreamInfo:
    return StreamInfo(
        number=number,
        receiver=receiver.name,
        source=sender.source,
        group=sender.group,
        interface=receiver.interface,
        stream_id=sender.stream_id,
        epoch=sender.epoch,
        first_due_ns=sender.first_due_ns,
        interval_ns=sender.interval_ns,
    )
