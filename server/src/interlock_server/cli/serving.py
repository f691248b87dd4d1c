"""The command that serves an app."""

from __future__ import annotations

import json
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated

import typer

from interlock_server.cli import collector, configuration
from interlock_server.cli.configuration import LogFormat, LogLevel
from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import safe

if TYPE_CHECKING:
    from interlock_server.app import Interlock
    from interlock_server.settings import Settings


def serve(
    app: Annotated[
        str,
        typer.Argument(
            metavar="APP",
            help="module:attribute or path/to/file.py:attribute; the attribute is app "
            "when it is left out.",
        ),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            "-a",
            envvar="INTERLOCK_ADDRESS",
            metavar="HOST:PORT",
            help="Where to listen, port 0 for any; default: 127.0.0.1:7117.",
        ),
    ] = None,
    database_url: configuration.DatabaseUrl = None,
    data_dir: configuration.DataDir = None,
    pool_size: Annotated[
        int | None,
        typer.Option(
            envvar="INTERLOCK_POOL_SIZE",
            metavar="N",
            help="Database connections at most; default: 10.",
        ),
    ] = None,
    lease_seconds: Annotated[
        float | None,
        typer.Option(
            envvar="INTERLOCK_LEASE_SECONDS",
            metavar="SECONDS",
            help="How long another server waits before it takes over the runs of one that "
            "died; default: 10.",
        ),
    ] = None,
    commit_delay_seconds: Annotated[
        float | None,
        typer.Option(
            envvar="INTERLOCK_COMMIT_DELAY_SECONDS",
            metavar="SECONDS",
            help="How long progress waits for company before it is committed, where nothing "
            "depends on it; default: 0.02.",
        ),
    ] = None,
    grace_seconds: Annotated[
        float | None,
        typer.Option(
            envvar="INTERLOCK_GRACE_SECONDS",
            metavar="SECONDS",
            help="How long a stop waits for calls and effects under way; default: 10.",
        ),
    ] = None,
    watchers_max: Annotated[
        int | None,
        typer.Option(
            envvar="INTERLOCK_WATCHERS_MAX",
            metavar="N",
            help="Open streams at most; default: 10,000.",
        ),
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(
            envvar="INTERLOCK_RETENTION_DAYS",
            metavar="DAYS",
            help="How long a run is kept after its end, with its events; default: for ever.",
        ),
    ] = None,
    open_runs_max: Annotated[
        int | None,
        typer.Option(
            envvar="INTERLOCK_OPEN_RUNS_MAX",
            metavar="N",
            help="Runs that have not ended at most, over all servers; default: 1,000,000.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            max=64,
            metavar="N",
            help="Server processes behind the address; one that dies is replaced.",
        ),
    ] = 1,
    reuse_port: Annotated[
        bool,
        typer.Option(
            envvar="INTERLOCK_REUSE_PORT",
            help="Share the address with other servers of this machine that do so too.",
        ),
    ] = False,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="For people or for programs.")
    ] = LogFormat.CONSOLE,
    log_level: Annotated[LogLevel, typer.Option(help="What is worth a line.")] = LogLevel.INFO,
) -> None:
    """Serve the workflows of an app.

    SIGTERM or Ctrl-C stops it in good order: runs go on after the next start, or on another
    server. A second one ends it at once.
    """
    from interlock_server.cli.addresses import check_address
    from interlock_server.cli.logs import configure_logs
    from interlock_server.cli.process import serve_until_stopped
    from interlock_server.cli.workers import serve_with_workers

    screen = Screen()
    configure_logs(log_format, log_level)
    settings = configuration.read_settings(
        screen,
        address=address,
        database_url=database_url,
        data_dir=data_dir,
        pool_size=pool_size,
        lease_seconds=lease_seconds,
        commit_delay_seconds=commit_delay_seconds,
        grace_seconds=grace_seconds,
        watchers_max=watchers_max,
        retention_days=retention_days,
        open_runs_max=open_runs_max,
        reuse_port=reuse_port or worker or None,
    )
    if not settings.reuse_port:
        check_address(screen, settings.address)
    loaded = _load(screen, app, shows_trace=log_level is LogLevel.DEBUG)

    def announce(target: str) -> None:
        _announce(loaded, settings, target, log_format)
        collector.begin()

    if workers > 1:
        command = ["serve", app, "--worker", "--log-format", log_format, "--log-level", log_level]
        serving = serve_with_workers(settings, workers, command, announce)
    else:
        serving = serve_until_stopped(loaded, settings, announce, heeds_input=worker)
    _run(screen, serving)


def _load(screen: Screen, spec: str, *, shows_trace: bool) -> Interlock:
    from interlock_server.cli.apps import AppProblem, load_app

    try:
        return load_app(spec)
    except AppProblem as problem:
        if shows_trace:
            traceback.print_exception(problem)
        screen.fail(Exit.USAGE, str(problem))


def _run(screen: Screen, serving: Coroutine[None, None, None]) -> None:
    import asyncio

    from interlock_server.app import AddressUnusable
    from interlock_server.cli.workers import WorkerRefused
    from interlock_server.store.opening import DatabaseUnusable
    from interlock_server.store.schema import SchemaMismatch

    try:
        asyncio.run(serving)
    except WorkerRefused as refused:
        raise typer.Exit(refused.code) from None
    except (AddressUnusable, DatabaseUnusable, SchemaMismatch) as problem:
        screen.fail(Exit.NOT_SERVED, str(problem))


def _announce(app: Interlock, settings: Settings, target: str, log_format: LogFormat) -> None:
    database = configuration.database_shown(settings)
    if log_format is LogFormat.JSON:
        line = {
            "event": "listening",
            "target": target,
            "database": database,
            "workflows": list(app.workflow_names),
        }
        typer.echo(json.dumps(line))
    else:
        typer.echo(f"workflows: {', '.join(map(safe, app.workflow_names))}")
        typer.echo(f"database: {safe(database)}")
        typer.echo(f"listening on {target}")
