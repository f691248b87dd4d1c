"""The command line: `python -m clients.conformance`."""

from clients.conformance.program import main

main()
