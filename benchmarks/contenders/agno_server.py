"""Agno served by its own HTTP server, as its documents say: one process, uvicorn."""

from __future__ import annotations

import argparse
import json
import socket

import uvicorn
from agno.db.postgres import AsyncPostgresDb
from agno.os import AgentOS

from benchmarks.contenders.agno_case import workflow


def main(database_url: str) -> None:
    database = AsyncPostgresDb(db_url=database_url)
    app = AgentOS(workflows=[workflow(database)], db=database, telemetry=False).get_app()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        target = f"http://127.0.0.1:{listening.getsockname()[1]}"
        print(json.dumps({"event": "ready", "target": target}), flush=True)
        server.run(sockets=[listening])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    main(parser.parse_args().database_url)
