"""Connections for reading, notifications of new events, and the live feed built on both."""
