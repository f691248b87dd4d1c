"""Runs a protoc plugin on the files that have a service, and on no others.

Usage: services_only.py PLUGIN [ARGUMENT ...]
"""

import subprocess
import sys

from google.protobuf.compiler import plugin_pb2


def main() -> None:
    """Narrow the request on standard input and hand it to the plugin."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    with_service = {file.name for file in request.proto_file if file.service}
    request.file_to_generate[:] = [
        name for name in request.file_to_generate if name in with_service
    ]
    plugin = subprocess.run(sys.argv[1:], input=request.SerializeToString(), check=False)
    sys.exit(plugin.returncode)


if __name__ == "__main__":
    main()
