"""`interlock serve`: what it says, how it refuses, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from tests.cli.conftest import (
    DESK,
    Command,
    Outcome,
    ServerProcess,
    binary,
    new_database,
    until,
)

from interlock_server.cli.addresses import check_address
from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen

Start = Callable[..., ServerProcess]


@pytest.fixture
def serve(interlock: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `interlock serve` in this process, as far as it comes before it listens."""
    monkeypatch.setattr("interlock_server.cli.logs.configure_logs", lambda *_: None)
    monkeypatch.setattr("interlock_server.cli.process.signal.signal", lambda *_: None)

    def run(*arguments: str, **variables: str) -> Outcome:
        return interlock("serve", *arguments, **variables)

    return run


@pytest.fixture
def url(postgres_url: str) -> str:
    """A migrated database of a test's own."""
    name = f"cli_{uuid.uuid4().hex}"
    return asyncio.run(new_database(postgres_url, name, template="interlock_template"))


# What it refuses.


def test_an_app_that_cannot_be_loaded(serve: Command) -> None:
    done = serve("no_such_module:app", "--address", "127.0.0.1:0")
    assert done.code == 2
    assert done.err.startswith("error: there is no module 'no_such_module'")


def test_settings_with_mistakes(serve: Command) -> None:
    done = serve(str(DESK), "--pool-size", "1", "--grace-seconds", "-1")
    assert done.code == 2
    assert done.err.startswith("error: the settings have mistakes\n")
    assert "  --pool-size: Input should be greater than or equal to 2" in done.err
    assert "  --grace-seconds: " in done.err
    assert serve(str(DESK), INTERLOCK_POOL_SIZE="many").code == 2
    assert "--watchers-max: " in serve(str(DESK), INTERLOCK_WATCHERS_MAX="0").err


@pytest.mark.parametrize("address", ["7117", ":7117", "127.0.0.1", "127.0.0.1:x", "h:99999"])
def test_an_address_that_is_none(serve: Command, address: str) -> None:
    done = serve(str(DESK), "--address", address)
    assert done.code == 2
    assert "is not of the form host:port" in done.err


def test_a_port_in_use(serve: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(str(DESK), "--address", address)
    assert done.code == 7
    assert done.err.startswith(f"error: cannot listen on {address}: the port is in use\n")
    assert "--address" in done.err


@pytest.mark.parametrize("address", ["192.0.2.1:7117", "no-such-host.invalid:7117"])
def test_an_address_of_somebody_else(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        check_address(Screen(), address)
    assert caught.value.exit_code == Exit.NOT_SERVED
    assert f"cannot listen on {address}: " in capsys.readouterr().err


def test_free_addresses() -> None:
    for address in ("127.0.0.1:0", "localhost:0", "0.0.0.0:0"):
        check_address(Screen(), address)


def test_a_database_that_is_not_there(serve: Command) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/shop"
    done = serve(str(DESK), "--address", "127.0.0.1:0", "--database-url", url)
    assert (done.code, done.out) == (7, "")
    assert done.err.startswith(
        "error: cannot use the database postgresql://me@127.0.0.1:1/shop: [Errno 111]"
    )
    assert "hunter2" not in done.err


def test_a_schema_that_is_older(serve: Command, postgres_url: str) -> None:
    url = asyncio.run(new_database(postgres_url, f"cli_{uuid.uuid4().hex}"))
    done = serve(str(DESK), INTERLOCK_DATABASE_URL=url, INTERLOCK_ADDRESS="127.0.0.1:0")
    assert (done.code, done.out) == (7, "")
    assert "run `interlock migrate` and start again" in done.err


def test_a_refusal_of_the_installed_program() -> None:
    done = binary("serve", "no_such_module:app", INTERLOCK_ADDRESS="127.0.0.1:0")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: there is no module 'no_such_module'")
    assert "Traceback" not in done.err


# How it serves.


@pytest.mark.slow
def test_garbage_is_collected_once_it_listens(server: Start, url: str, interlock: Command) -> None:
    served = server("--database-url", url)
    done = interlock("run", "Collects", "--json", "--target", served.target)
    assert (done.code, done.json["outputJson"]) == (0, "true")


# How it stops.


@pytest.mark.slow
def test_a_paused_run_outlives_the_server(server: Start, folder: Path, interlock: Command) -> None:
    arguments = ("--data-dir", str(folder))
    first = server(*arguments)
    said = "".join(first.announced)
    assert "workflows: Refund, Twice, Send, " in said
    assert f"database: embedded PostgreSQL in {folder}/postgres\n" in said
    run = interlock("run", "Refund", "--json", "--target", first.target).json
    code, log = first.stop(signal.SIGINT)
    assert code == 0
    assert "stopping" in log
    assert "reason=SIGINT" in log
    assert "stopped" in log
    second = server(*arguments, "--grace-seconds", "0.1")
    target = ("--target", second.target)
    [waiting] = interlock("pending", "--json", *target).json["requirements"]
    assert waiting["runId"] == run["runId"]
    done = interlock("approve", waiting["requirementId"], "--follow", *target)
    assert done.code == 0
    assert "refunded 18.5 for 7" in done.out
    # A tool that hangs in a thread does not keep the process.
    interlock("run", "Hold", "--no-wait", *target)
    assert second.stop()[0] == 0
    assert not (folder / "postgres" / "postmaster.pid").exists()


def test_a_second_signal_ends_it_at_once(server: Start, url: str, interlock: Command) -> None:
    url = url.replace("postgres:@", "postgres:hunter2@")
    options = ("--database-url", url, "--grace-seconds", "600", "--log-format", "json")
    serving = server(*options)
    [line] = serving.announced
    said = json.loads(line)
    assert (said["event"], said["target"]) == ("listening", serving.target)
    assert "Refund" in said["workflows"]
    assert said["database"].startswith("postgresql://postgres@/cli_")
    run_id = interlock("run", "Hold", "--no-wait", "--target", serving.target).out.strip()
    serving.send(signal.SIGTERM)
    until(lambda: interlock("runs", run_id, "--target", serving.target).code != 0)
    code, log = serving.stop()
    assert code == 128 + signal.SIGTERM
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["stopping"]


@pytest.mark.slow
def test_what_may_have_happened_is_asked_about(
    server: Start, url: str, tmp_path: Path, interlock: Command
) -> None:
    """The server dies inside two approved calls; the next one asks what became of them."""
    arguments = ("--database-url", url, "--lease-seconds", "1")
    first = server(*arguments)
    target = ("--target", first.target)
    for _ in range(2):
        assert interlock("run", "Launch", str(tmp_path), *target).code == 3
    ids = [
        one["requirementId"] for one in interlock("pending", "--json", *target).json["requirements"]
    ]
    assert interlock("approve", *ids, *target).code in (0, 6)  # The answer may be lost with it.
    assert first.wait()[0] == -signal.SIGKILL
    target = ("--target", server(*arguments).target)

    def waiting() -> list[str]:
        listed = interlock("pending", "--kind", "in_doubt", "--json", *target).json
        return [one["requirementId"] for one in listed.get("requirements", [])]

    until(lambda: len(waiting()) == 2)
    shown = interlock("pending", "--full", *target).out
    assert "launch waits for a decision: it may have happened" in shown
    again, never = waiting()
    assert f"interlock retry {again} --target" in shown
    assert f"interlock fail {again} --target" in shown
    retried = interlock("retry", again, "--follow", *target)
    assert retried.code == 0
    assert "launched" in retried.out
    failed = interlock("fail", never, "--message", "nobody knows", "--follow", *target)
    assert failed.code in (0, 1)
    assert "nobody knows" in failed.out


# Several processes.


@pytest.mark.slow
def test_workers_share_an_address_and_one_that_dies_is_replaced(
    server: Start, url: str, interlock: Command
) -> None:
    serving = server("--database-url", url, "--lease-seconds", "1", "--workers", "2")
    target = ("--target", serving.target)
    paused = interlock("run", "Refund", "--json", *target).json
    [requirement] = interlock("pending", "--json", *target).json["requirements"]
    first, second = serving.children()
    os.kill(first, signal.SIGKILL)
    done = interlock("approve", requirement["requirementId"], "--follow", *target)
    assert done.code == 0, done.err
    assert (
        interlock("runs", paused["runId"], "--json", *target).json["state"] == "RUN_STATE_COMPLETED"
    )
    until(lambda: len(serving.children()) == 2 and first not in serving.children())
    assert second in serving.children()
    workers = serving.children()
    code, log = serving.stop()
    assert code == 0
    assert "worker died" in log
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
def test_workers_end_with_whoever_started_them(server: Start, url: str) -> None:
    serving = server("--database-url", url, "--workers", "2")
    workers = serving.children()
    serving.send(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert serving.wait()[0] == -signal.SIGKILL


def test_an_app_that_no_worker_can_serve(serve: Command) -> None:
    done = serve("no_such_module:app", "--address", "127.0.0.1:0", "--workers", "2")
    assert done.code == 2
    assert done.err.startswith("error: there is no module 'no_such_module'")
