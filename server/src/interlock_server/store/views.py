"""Views: all that readers see of a run, of one moment."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, text

from interlock_server.store.database import Database
from interlock_server.store.events import RESULT_KINDS, show_results
from interlock_server.store.records import View
from interlock_server.store.requirements import CURRENT, REQUIREMENT_COLUMNS, requirements_in
from interlock_server.store.runs import RUN_COLUMNS, RUN_FROM, run_row

# As parameters they would be planned for anew each time, which takes longer than to read them.
_RESULT_KINDS = ", ".join(map(str, RESULT_KINDS))
_VIEW = text(f"""
    SELECT {RUN_COLUMNS},
        ARRAY(SELECT body FROM events
            WHERE run_id = runs.run_id AND sequence > :after AND kind IN ({_RESULT_KINDS})
            ORDER BY sequence) AS results,
        ARRAY(SELECT ROW({REQUIREMENT_COLUMNS}) FROM requirements
            WHERE run_id = runs.run_id AND {CURRENT} ORDER BY requirements.position) AS current
    {RUN_FROM} WHERE runs.run_id = :run_id
""").bindparams(bindparam("after", type_=BigInteger))


async def view_get(database: Database, run_id: str, after: int = 0) -> View | None:
    """A run with the results of its finished nodes, what it waits for, and what may yet start.

    Args:
        after: leave out the results of events up to this sequence.
    """
    rows = await database.fetch(_VIEW, {"run_id": run_id, "after": after})
    if not rows:
        return None
    row = run_row(rows[0])
    show_results(row.run, rows[0].results)
    return View(row, [one.requirement for one in requirements_in(rows[0].current)])
