"""Copies of runs, made by the database: what would take hours through the service.

A copy is what the service stored of a run, under ids of its own. Ids are of one
length, so they can be exchanged within stored messages. They are as far apart
as chance would put them, and come in order, so that indexes grow at their ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.postgres import Postgres

_COLUMNS = """
    SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
    WHERE table_name = '{table}' AND table_schema = 'public'
"""
_FUNCTIONS = """
    CREATE OR REPLACE FUNCTION copy_id(id text, number bigint, count bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        lpad(to_hex(number * (4294967295 / count)), 8, '0') || substr(id, 9);

    CREATE OR REPLACE FUNCTION exchanged(body bytea, id text, other text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN decode(replace(encode(body, 'hex'),
        encode(convert_to(id, 'UTF8'), 'hex'), encode(convert_to(other, 'UTF8'), 'hex')), 'hex');
"""
_IDS = """
    SELECT array_agg(copy_id('{run}', number, {count})) FROM generate_series(1, {count}) AS number
"""
_UNCHECKED = "SET session_replication_role = replica; SET synchronous_commit = off"
"""Rows are copied with what they refer to, so nothing need be looked up for each."""

_RUN = "copy_id(run_id, number, {count})"
_SESSION = "copy_id(session_id, number, {count})"
_TIME = "create_time - number * interval '1 second'"
_EXPRESSIONS: Mapping[str, Mapping[str, str]] = {
    "sessions": {"session_id": _SESSION},
    "runs": {"run_id": _RUN, "session_id": _SESSION, "create_time": _TIME},
    "events": {"run_id": _RUN},
    "journal": {"run_id": _RUN},
    "requirements": {
        "run_id": _RUN,
        "session_id": _SESSION,
        "requirement_id": "copy_id(requirement_id, number, {count})",
        "body": "exchanged(body, requirement_id, copy_id(requirement_id, number, {count}))",
        "create_time": _TIME,
    },
}
_ROWS = {"sessions": "session_id = (SELECT session_id FROM runs WHERE run_id = '{run}')"}


def copy_run(postgres: Postgres, database: str, run_id: str, count: int) -> list[str]:
    """Copies a paused run, with all that belongs to it, so many times; gives the copies' ids."""
    postgres.execute(_FUNCTIONS, database=database)
    statements = []
    for table in _EXPRESSIONS:
        columns = postgres.value(_COLUMNS.format(table=table), database)
        statement = _statement(table, columns).format(run=run_id, count=count)
        statements.append(f"{_UNCHECKED}; {statement}")
    postgres.execute_at_once(*statements, database=database)
    postgres.execute_at_once(*(f"VACUUM ANALYZE {one}" for one in _EXPRESSIONS), database=database)
    ids: list[str] = postgres.value(_IDS.format(run=run_id, count=count), database)
    return ids


def _statement(table: str, columns: Sequence[str]) -> str:
    values = [_EXPRESSIONS[table].get(name, name) for name in columns]
    rows = _ROWS.get(table, "run_id = '{run}'")
    # What looks at `number` cannot be the outer side of the join, so the copies come in order.
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        "FROM generate_series(1, {count}) AS number, "
        f"LATERAL (SELECT * FROM {table} WHERE {rows} AND number > 0) AS original"
    )
