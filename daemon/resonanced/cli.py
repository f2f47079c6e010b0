# SPDX-License-Identifier: MIT
"""The command ``resonanced``: run the service, steer it, check this host, tune it, roll back.

Only the standard library and our errors are imported before a verb asks for more: `rollback`
must work where the rest does not.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from resonance_bpf.errors import ProbeError
from resonance_tuning.errors import ProfileError, TuningError
from resonanced.errors import DaemonError
from resonanced.verbs import options, rollback
from resonanced.verbs.terminal import printable

if TYPE_CHECKING:
    from resonance_bpf.report import LoadReport
    from resonanced import config
    from resonanced.link import Ready
    from resonanced.privileges import Identity

__all__ = ["main"]

# argparse has no public name for what add_subparsers() returns.
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
_log = logging.getLogger(__name__)
_STDERR: Final = 2
_UNREAD: Final = 141
"""Exit status of a shell's child that SIGPIPE ended."""
_INTERRUPTED: Final = 130
"""The same for Ctrl-C."""
_CHECK_EXAMPLES: Final = """\
  resonanced check                      what can be measured and tuned here
  resonanced check --output json        the same for a program
"""
_CHECK_SPEAKS_FOR: Final = """\
What it says holds for who asks: the unit runs as root, with the capabilities
that are named in it. Where you have less, a line tells what.
"""
_RUN_EXAMPLES: Final = """\
  resonanced run                        measure and serve until Ctrl-C
  resonanced run --for 15               the same for 15 seconds
  resonanced run --backend bcc          one backend, or an error
"""
_PHASE_EXAMPLES: Final = """\
  resonanced phase                      the mode, the sources, the guards
  resonanced phase shadow               decide, move nothing, predict the gain
  resonanced phase active               move the sources that are free
  resonanced phase stop                 every source to its own phase, at once
"""
_POLICIES_EXAMPLES: Final = """\
  resonanced policies                   how far clients of the SDK may go here
  resonanced policies observe           all of them only count, within a second
  resonanced policies active            each does what it is set to
"""
_ROLLBACK_EXAMPLES: Final = """\
  resonanced rollback                   whatever is left of us, newest first
  resonanced rollback --left-by-services    but not what was applied by hand
"""
_DESCRIPTION: Final = """\
See how long tasks and sockets wait, per cgroup; tune the node if asked.

Only `apply` changes settings of this host; `run` does so where [tuning] mode
in its configuration says so. `rollback` puts back what either has changed.
"""
_EXAMPLES: Final = """\
examples:
  resonanced check                      what can be measured and tuned here
  resonanced run                        measure and serve until Ctrl-C
  resonanced plan balanced --latency-critical /web --batch '/hogs*'
  resonanced apply balanced --latency-critical /web --batch '/hogs*'
  resonanced verify                     is it still so?
  resonanced explain                    why, what it gained, how to go back
  resonanced phase shadow               what would moving periodic work gain?
  resonanced policies observe           hedge and retry nothing, only count
  resonanced journal                    all that was changed since boot
  resonanced rollback                   take it all back

resonanced VERB --help has more, and what each flag does.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    _fill_standard_streams()
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (DaemonError, ProbeError, TuningError) as error:
        told = "\n".join(map(printable, str(error).splitlines()))
        sys.stderr.write(f"resonanced: {told}\n")
        return _exit_code(error)
    except BrokenPipeError:
        _silence_stdout()
        return _UNREAD
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _exit_code(error: Exception) -> int:
    if isinstance(error, DaemonError):
        return error.exit_code
    return 2 if isinstance(error, ProfileError) else 1


def _fill_standard_streams() -> None:
    """Put nothing where a standard stream is closed, or our sockets would get its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _silence_stdout() -> None:
    """Let what is still to be written, at exit too, go nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Version(argparse.Action):
    """Looks the release up only when asked: the keeper stays small."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        sys.stdout.write(metadata.version("resonance-runtime") + "\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resonanced",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_tune)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the release and exit")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    run = _add_verb(verbs, "run", "measure and serve until Ctrl-C", _RUN_EXAMPLES)
    _add_configuration(run)
    run.add_argument(
        "--for",
        dest="for_seconds",
        type=seconds,
        metavar="SECONDS",
        help="end by itself after so long",
    )
    run.add_argument(
        "--no-view", action="store_true", help="no live view, even on a terminal; log to stderr"
    )
    run.set_defaults(run=_run)
    what = "say what can be measured and tuned on this host, and why not"
    checks = _add_verb(verbs, "check", what, _CHECK_EXAMPLES)
    checks.description = f"{checks.description}\n\n{_CHECK_SPEAKS_FOR}"
    _add_configuration(checks)
    options.add_output(checks)
    checks.set_defaults(run=_check)
    options.add_to(verbs, _add_verb)
    what = "show or set how far the running service moves periodic work"
    phase = _add_verb(verbs, "phase", what, _PHASE_EXAMPLES)
    phase.add_argument(
        "mode",
        nargs="?",
        choices=("observe", "shadow", "adaptive", "active", "stop"),
        help="until the service ends; stop: everything back at once, and observe",
    )
    _add_service(phase)
    phase.set_defaults(run=_phase)
    what = "show or set how far hedges, retries and the like may go on this host"
    policies = _add_verb(verbs, "policies", what, _POLICIES_EXAMPLES)
    policies.add_argument(
        "mode",
        nargs="?",
        choices=("observe", "advise", "active"),
        help="until the service ends; a client does the lower of this and its own",
    )
    _add_service(policies)
    policies.set_defaults(run=_policies)
    what = "put back what was changed, and remove what dead services left"
    back = _add_verb(verbs, "rollback", what, _ROLLBACK_EXAMPLES)
    _add_configuration(back)
    back.add_argument(
        "--left-by-services",
        action="store_true",
        help="only what dead services left; what was applied by hand stays",
    )
    options.add_journal(back)
    options.add_output(back)
    back.set_defaults(run=_rollback)
    return parser


def _add_verb(verbs: _Verbs, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = f"instead of {rollback.DEFAULT_PATH}"
    verb.add_argument("--config", type=Path, metavar="FILE", help=default)
    return verb


def _add_service(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--runtime-directory", metavar="DIR", help="where the service has its sockets"
    )
    options.add_output(verb)


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", choices=("auto", "core", "bcc", "none"), help="how to measure; auto: the best"
    )
    parser.add_argument(
        "--cgroup", action="append", metavar="GLOB", help="always shown by itself; may be repeated"
    )
    parser.add_argument("--port", type=int, help="where the metrics are served")
    parser.add_argument(
        "--runtime-directory", metavar="DIR", help="where the hints' socket and page are made"
    )


def seconds(text: str) -> float:
    """Parse a positive, finite number of seconds; argparse names this function in its error."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return value


def _settings(arguments: argparse.Namespace) -> config.Settings:
    from resonanced import config

    return config.load(arguments.config, _flags(arguments))


def _flags(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    flags: dict[str, dict[str, Any]] = {}
    for table, key, value in (
        ("probes", "backend", arguments.backend),
        ("signals", "cgroups", arguments.cgroup),
        ("telemetry", "port", arguments.port),
        ("service", "runtime_directory", options.absolute(arguments.runtime_directory)),
    ):
        if value is not None:
            flags.setdefault(table, {})[key] = value
    return flags


def _run(arguments: argparse.Namespace) -> int:
    # Here, so that `check` and `rollback` start without what only the service needs.
    from resonanced import logs
    from resonanced.announcement import announcement
    from resonanced.keeper import Inheritance, Keeper

    settings = _settings(arguments)
    logs.configure(settings.service.log_level)

    def become_daemon(inheritance: Inheritance) -> int:
        # One thread is enough for sums over 64 rows, and each costs memory. Read at import.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        from resonanced import service

        return service.run(inheritance)

    def announce(report: LoadReport, ready: Ready, identity: Identity) -> None:
        _announce(announcement(report, ready, identity, settings, keeper.begun))

    keeper = Keeper(
        lambda: _settings(arguments),
        become_daemon,
        announce,
        view=None if arguments.no_view else _view(settings),
        for_seconds=arguments.for_seconds,
    )
    return keeper.run()


def _view(settings: config.Settings) -> list[str] | None:
    """Return the command that shows the live view, if there is a terminal to show it on."""
    command = Path(sys.executable).with_name("resonance")
    if not (sys.stdin.isatty() and sys.stdout.isatty() and command.exists()):
        return None
    socket = Path(settings.service.runtime_directory) / settings.hints.socket
    metrics = f"http://{settings.telemetry.address}:{settings.telemetry.port}/metrics"
    note = f"q quits   metrics {metrics}   hints {socket}"
    return [str(command), "top", "--socket", str(socket), "--note", note]


def _announce(lines: list[str]) -> None:
    try:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    except OSError as error:
        # The service is no less wanted when nobody reads this.
        _silence_stdout()
        _log.warning("announcement_unread reason=%r", error.strerror)


def _tune(arguments: argparse.Namespace) -> int:
    from resonanced.verbs import tuning

    return tuning.VERBS[arguments.verb](arguments)


def _phase(arguments: argparse.Namespace) -> int:
    from resonanced.verbs.phase import phase

    return phase(arguments)


def _policies(arguments: argparse.Namespace) -> int:
    from resonanced.verbs.policies import policies

    return policies(arguments)


def _rollback(arguments: argparse.Namespace) -> int:
    return rollback.run(arguments, _flags(arguments))


def _check(arguments: argparse.Namespace) -> int:
    from resonanced import check

    text, status = check.report(_settings(arguments), arguments.output)
    sys.stdout.write(text)
    return status
