"""The command that brings a database's schema up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interlock_server.cli import configuration, options, paint
from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import safe

if TYPE_CHECKING:
    from interlock_server.settings import Settings
    from interlock_server.store.schema import Migration


def migrate(
    database_url: configuration.DatabaseUrl = None,
    data_dir: configuration.DataDir = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Apply nothing; exit with 7 when something is missing."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Apply the migrations that a database lacks, and show all of them."""
    import asyncio

    from interlock_server.store.opening import DatabaseUnusable
    from interlock_server.store.schema import SchemaMismatch

    screen = Screen(as_json=as_json)
    settings = configuration.read_settings(screen, database_url=database_url, data_dir=data_dir)
    try:
        listed, applied = asyncio.run(_migrate(settings, applies=not check))
    except (DatabaseUnusable, SchemaMismatch) as problem:
        screen.fail(Exit.NOT_SERVED, str(problem))
    _show(screen, configuration.database_shown(settings), listed, applied)
    if not all(one.is_applied for one in listed):
        raise typer.Exit(Exit.NOT_SERVED)


async def _migrate(settings: Settings, *, applies: bool) -> tuple[list[Migration], set[str]]:
    """All migrations as they are now, and the revisions of those that were applied just now."""
    from interlock_server.app import open_database
    from interlock_server.store.schema import schema_list, schema_upgrade

    database = await open_database(settings)
    try:
        applied = await schema_upgrade(database) if applies else []
        return await schema_list(database), {one.revision for one in applied}
    finally:
        await database.close()


def _show(screen: Screen, database: str, listed: list[Migration], applied: set[str]) -> None:
    if screen.as_json:
        migrations = [
            {
                "revision": one.revision,
                "title": one.title,
                "isApplied": one.is_applied,
                "wasAppliedNow": one.revision in applied,
            }
            for one in listed
        ]
        screen.document({"database": database, "migrations": migrations})
        return
    table = paint.Table("MIGRATION", "TITLE", "STATE", box=None, pad_edge=False)
    for one in listed:
        state = "applied now" if one.revision in applied else "applied before"
        table.add_row(one.revision, one.title, state if one.is_applied else "missing")
    screen.print(safe(database), table)
