"""Connections for reading, notifications of new events, and the live feed that stands on both."""
