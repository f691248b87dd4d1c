"""Addresses to listen on."""

from __future__ import annotations

import errno
import socket
from typing import Any

from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen


def check_address(screen: Screen, address: str) -> None:
    """Finds out before anything is started whether the address can be had."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        screen.fail(
            Exit.USAGE, f"the address {address!r} is not of the form host:port, like 127.0.0.1:7117"
        )
    try:
        places = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        screen.fail(Exit.NOT_SERVED, f"cannot listen on {address}: {error.strerror}")
    problems = [problem for place in places if (problem := _problem_at(place[0], place[4]))]
    if any(one.errno == errno.EADDRINUSE for one in problems):
        screen.fail(
            Exit.NOT_SERVED,
            f"cannot listen on {address}: the port is in use",
            hint="Stop what listens there, or choose another with --address HOST:PORT.",
        )
    if len(problems) == len(places):
        screen.fail(Exit.NOT_SERVED, f"cannot listen on {address}: {problems[0].strerror}")


def _problem_at(family: int, place: Any) -> OSError | None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            return error
    return None
