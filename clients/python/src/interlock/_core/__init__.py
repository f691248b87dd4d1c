"""The client without a face: everything that is decided, and nothing that waits.

`Client` and `AsyncClient` differ only in how they wait (`wire.Wire`). All else, from
building requests to retrying calls and resuming streams, is here, once.
"""
