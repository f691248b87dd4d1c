"""Runs the suite from the command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from clients.conformance.languages import Language, NotBuilt, languages
from clients.conformance.play import Played, play
from clients.conformance.report import Report, keep_matrix, known_failures
from clients.conformance.scenario import Scenario, scenarios
from clients.conformance.service import Certificates, Databases, Service
from clients.conformance.stage import Stage

REQUIRE_ALL = "INTERLOCK_REQUIRE_ALL_LANGUAGES"
"""The environment variable that makes a missing toolchain a failure, as CI sets it."""


def main() -> None:
    """Plays what the command line says; ends with 1 when anything is not as it should be."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    options = _options()
    if options.serve:
        sys.exit(asyncio.run(_serve(options.serve)))
    chosen = _chosen(options)
    missing = {one.name: reason for one in chosen if (reason := one.missing())}
    present = [one for one in chosen if one.name not in missing]
    if options.present:
        print(*(one.name for one in present))
        return
    if options.keep_matrix and (missing or options.language or options.scenario):
        sys.exit(f"only a play of everything makes a matrix to keep; missing: {missing or '-'}")
    stories = [
        one
        for one in scenarios().values()
        if not options.scenario or any(part in one.name for part in options.scenario)
    ]
    report = Report(known_failures(), missing)
    broken = asyncio.run(_play(present, stories, report, options.verbose))
    if options.matrix:
        print(report.matrix())
    if options.keep_matrix and not broken:
        keep_matrix(report.matrix())
    for language, reason in missing.items():
        print(f"{language}: left out, {reason}", file=sys.stderr)
    is_incomplete = bool(missing) and options.require_all
    sys.exit(1 if broken or is_incomplete or _tell(report) else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clients.conformance",
        description="Plays the scenarios with the drivers of all languages, and compares.",
    )
    parser.add_argument("--language", action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--scenario", action="append", help="only those with this in their name; may be repeated"
    )
    parser.add_argument(
        "--driver", help="try this command in place of the one in languages.toml; builds nothing"
    )
    parser.add_argument("--matrix", action="store_true", help="print the matrix, in Markdown")
    parser.add_argument(
        "--keep-matrix",
        action="store_true",
        help="write the matrix into clients/README.md; all languages must be here",
    )
    parser.add_argument(
        "--present", action="store_true", help="only print the languages that this machine has"
    )
    parser.add_argument(
        "--serve",
        metavar="COMMAND",
        help="play nothing: serve the workflows while a command runs, which finds the server's "
        "address in INTERLOCK_TARGET",
    )
    parser.add_argument(
        "--require-all",
        action="store_true",
        default=os.environ.get(REQUIRE_ALL, "") not in ("", "0"),
        help=f"fail when a toolchain is missing; {REQUIRE_ALL}=1 does the same",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print every answer")
    return parser.parse_args()


async def _serve(command: str) -> int:
    """Serves while a command runs; gives the exit code of it."""
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates(Path(folder))
        async with (
            Databases.opened() as databases,
            Service.opened(databases, certificates) as service,
        ):
            environment = {**os.environ, "INTERLOCK_TARGET": service.targets["server"]}
            process = await asyncio.create_subprocess_shell(command, env=environment)
            return await process.wait()


def _chosen(options: argparse.Namespace) -> list[Language]:
    every = languages()
    if unknown := set(options.language or ()) - every.keys():
        sys.exit(f"no such language: {', '.join(unknown)}; there are: {', '.join(every)}")
    chosen = [one for one in every.values() if not options.language or one.name in options.language]
    if options.driver is None:
        return chosen
    if len(chosen) != 1:
        sys.exit("--driver is the driver of one language: name it with --language")
    command = tuple(shlex.split(options.driver))
    return [replace(chosen[0], probe=(), build=(), driver=command)]


async def _play(
    present: Sequence[Language], stories: Sequence[Scenario], report: Report, is_verbose: bool
) -> bool:
    """Plays everything; gives whether a driver could not even be built."""
    is_broken = False
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates(Path(folder))
        async with Databases.opened() as databases:
            for language in present:
                try:
                    await asyncio.to_thread(language.build_driver)
                except NotBuilt as problem:
                    print(problem, file=sys.stderr)
                    is_broken = True
                    continue
                async with Stage.opened(language, databases, certificates) as stage:
                    for story in stories:
                        played = await play(story, stage)
                        report.note(language.name, story.name, played)
                        _show(language, story, played, is_verbose)
    return is_broken


def _show(language: Language, story: Scenario, played: Played, is_verbose: bool) -> None:
    mark = "✗" if played.problem else "✓"
    print(f"{mark} {language.name} {story.name} ({played.seconds:.1f} s)", flush=True)
    if is_verbose:
        print(f"  {story.says}\n{played.transcript}")
    if played.problem:
        print(f"  {played.problem}")


def _tell(report: Report) -> int:
    """Says what is wrong in the end, and how long it took; gives how much is wrong."""
    problems = {
        (language, scenario): problem
        for scenario, played in report.played.items()
        for language in played
        if (problem := report.problem(language, scenario))
    }
    for (language, scenario), problem in problems.items():
        if not report.played[scenario][language].problem:  # That was told at once.
            print(f"\n{language} {scenario} {problem}")
    for language in report.languages:
        failed = sum(1 for name, _ in problems if name == language)
        played = sum(1 for one in report.played.values() if language in one)
        seconds = report.seconds(language)
        print(f"{language}: {played - failed} of {played} scenarios in {seconds:.0f} s")
    return len(problems)
