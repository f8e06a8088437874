"""Scenarios that come with the program; `harness run NAME` finds them here."""
