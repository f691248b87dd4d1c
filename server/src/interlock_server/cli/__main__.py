"""The command line as `python -m interlock_server.cli`."""

from interlock_server.cli import main

main()
