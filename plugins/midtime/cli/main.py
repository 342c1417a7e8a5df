"""Arguments in, exit code out: 0 good, 1 not good, 2 wrong usage."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from midtime import __version__
from midtime.errors import MidtimeError, RequestError, TopologyError
from midtime.model.instants import from_rfc3339

_EPILOG = """\
Topology files are read from the folder that MIDTIME_TOPOLOGIES names (or --topologies); connections come from Airflow.

  midtime check bank              would a backup succeed? Nothing is paused, nothing is written but a probe
  midtime list                    restore points of all topologies, newest first
  midtime show 20261121T020007Z-3fa9c1
  midtime verify 20261121T020007Z-3fa9c1 --json
  midtime unpause bank            in an emergency: everything, whoever paused it
  midtime drills bank --since 2026-11-01
  midtime hand-over bank points restored-3fa9c1-bank --conn-id points_restored
  midtime recover s3://backup_s3@midtime-backups/production --into topologies

Exit code: 0 good, 1 not good, 2 wrong usage.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser(
        prog="midtime",
        description="Restore points of the databases under ScalarDB and ScalarDL.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"midtime {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = _command(commands, "check", "ask everything that a backup and its drill need; only a probe is written")
    check.add_argument("topology", metavar="TOPOLOGY")
    listing = _command(commands, "list", "list restore points, newest first")
    listing.add_argument("topology", metavar="TOPOLOGY", nargs="?", help="default: all")
    listing.add_argument("--limit", type=_positive, default=20, metavar="N", help="of each topology, default 20")
    show = _command(commands, "show", "show one restore point: stores, artifacts, evidence, drills")
    show.add_argument("id", metavar="ID", help="a restore point's id, or `latest` with --topology")
    show.add_argument("--topology", metavar="TOPOLOGY", help="where to look; default: everywhere")
    verify = _command(commands, "verify", "read every artifact of a restore point again and compare it with its manifest")
    verify.add_argument("id", metavar="ID", help="a restore point's id, or `latest` with --topology")
    verify.add_argument("--topology", metavar="TOPOLOGY", help="where to look; default: everywhere")
    drills = _command(commands, "drills", "report on all drills: verdict, RTO, RPO and their trend")
    drills.add_argument("topology", metavar="TOPOLOGY", nargs="?", help="default: all")
    drills.add_argument(
        "--limit", type=_positive, default=20, metavar="N", help="drills shown of each topology, default 20; all are summed up"
    )
    drills.add_argument("--since", type=_instant, metavar="DATE", help="only drills that began then or later: 2026-11-01, UTC, or RFC 3339")
    unpause = _command(commands, "unpause", "in an emergency, by hand: unpause every endpoint of every product, whoever paused it")
    unpause.add_argument("topology", metavar="TOPOLOGY")
    hand_over = _command(commands, "hand-over", "make an Airflow connection to a restored account or server; its secret is not shown")
    hand_over.add_argument("topology", metavar="TOPOLOGY")
    hand_over.add_argument("store", metavar="STORE", help="the store that was restored")
    hand_over.add_argument("name", metavar="NAME", help="what it was restored as: the name in the restore's log")
    hand_over.add_argument("--conn-id", required=True, metavar="ID", help="the connection's")
    hand_over.add_argument("--replace", action="store_true", help="also a connection of that id that leads elsewhere")
    recover = _command(commands, "recover", "rebuild what a lost Airflow knew, from a destination alone", reads_topologies=False)
    recover.add_argument("destination", metavar="DESTINATION", help="a topology's `destination`, such as s3://connection@bucket/prefix")
    recover.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where the topology files are written")
    recover.add_argument("--limit", type=_positive, default=5, metavar="N", help="restore points shown of each topology, default 5")
    return root


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, meaning: str, *, reads_topologies: bool = True
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
    command.add_argument("--json", action="store_true", help="print JSON for programs")
    if reads_topologies:
        command.add_argument("--topologies", type=Path, metavar="FOLDER", help="folder of the topology files; default: MIDTIME_TOPOLOGIES")
    return command


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return from_rfc3339(f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date such as 2026-11-01 nor an instant such as 2026-11-01T05:00:00Z"
        ) from None


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    arguments = parser().parse_args(argv)
    _quiet()
    from midtime.cli import commands  # after _quiet: it imports Airflow

    try:
        sys.exit(0 if commands.COMMANDS[arguments.command](arguments) else 1)
    except (RequestError, TopologyError) as error:
        _fail(error, 2)
    except MidtimeError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) went away; Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(error: MidtimeError, code: int) -> NoReturn:
    print(f"midtime: {error.message}", file=sys.stderr)
    if error.fix:
        print(f"  -> {error.fix}", file=sys.stderr)
    sys.exit(code)


def _quiet() -> None:
    # Airflow's own chatter is not an answer to the question; without this context it would not look into its database for connections.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
