"""The driver as a program."""

import sys

from clients.python.conformance.driver import main

main(sys.argv[1])
