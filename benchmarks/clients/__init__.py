"""Clients: processes that make calls, and are told how many at once and for how long."""
