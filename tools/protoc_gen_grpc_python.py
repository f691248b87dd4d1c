"""Lets buf run grpcio-tools' built-in gRPC generator as an ordinary plugin."""

import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc


def main() -> None:
    """Write a `_pb2_grpc.py` for every requested file that has a service."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    wanted = set(request.file_to_generate)
    files = [file.name for file in request.proto_file if file.service and file.name in wanted]
    if files:
        for name, content in generate(request, files):
            response.file.add(name=name, content=content)
    sys.stdout.buffer.write(response.SerializeToString())


def generate(request: plugin_pb2.CodeGeneratorRequest, files: list[str]) -> list[tuple[str, str]]:
    """Run protoc on the request's own descriptors; returns each written file's name and text."""
    with tempfile.TemporaryDirectory() as tmp:
        descriptors = Path(tmp, "descriptors.binpb")
        descriptors.write_bytes(
            descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString()
        )
        out = Path(tmp, "out")
        out.mkdir()
        parameter = f"{request.parameter}:" if request.parameter else ""
        code = protoc.main(
            [
                "protoc",
                f"--descriptor_set_in={descriptors}",
                f"--grpc_python_out={parameter}{out}",
                *files,
            ]
        )
        if code:
            sys.exit(code)
        return [
            (path.relative_to(out).as_posix(), path.read_text(encoding="utf-8"))
            for path in sorted(out.rglob("*_pb2_grpc.py"))
        ]


if __name__ == "__main__":
    main()
