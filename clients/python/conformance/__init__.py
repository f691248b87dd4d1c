"""The conformance driver of the Python clients: see clients/conformance/README.md."""
