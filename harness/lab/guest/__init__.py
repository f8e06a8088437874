"""Guests that really boot."""
