"""Names of the files of a run directory, and of what else `harness analyze` reads."""

from __future__ import annotations

MANIFEST = "manifest.json"
ENVIRONMENT = "environment.json"
EVENTS = "events.jsonl"
PACKETS = "packets"
"""Stem of packets.bin, the rows (PACKET_DTYPE), and packets.crc, their checksums."""
SENT = "sent"
"""Stem of sent.bin (SENT_DTYPE) and sent.crc; they exist once something was sent."""
SUMMARY = "summary.json"
COUNTED = "counted.json"
"""The summary of a run that was counted and not recorded packet by packet; same format as SUMMARY."""
LAB = "lab.json"
"""What the lab counted of a run that took place in one (LabRecord)."""
LAB_TRUTH = "lab.jsonl"
"""What was done to the lab, and when: the ground truth that a report is held against."""

READABLE = "a run directory (with manifest.json), a .pcap, a .pcapng, a .csv or a .parquet"
"""What `harness analyze` takes, for the error messages."""
