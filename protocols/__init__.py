"""What is on the wire: bytes <-> fields. No socket, no clock, and nothing of `harness`."""
