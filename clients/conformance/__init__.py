"""The conformance suite: the same scenarios for every client, against a real server.

`python -m clients.conformance --help` says how to run it, README.md how it is made.
"""

import os

# Drivers are started with gRPC at work in this process, which it would warn of.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Connections that break are what scenarios are about: no news.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
