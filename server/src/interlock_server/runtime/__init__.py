"""The heart: holds runs by leases, interprets them, commits what they do, and wakes who waits."""
