# SPDX-License-Identifier: MIT
"""The command ``resonanced``: run the service, check what this host allows, roll back."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from resonance_bpf import pins
from resonance_bpf.errors import ProbeError
from resonance_bpf.report import LoadReport
from resonanced import config, link, logs, runtime
from resonanced.errors import DaemonError
from resonanced.privileges import Identity

__all__ = ["main"]

# argparse has no public name for what add_subparsers() returns.
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
_log = logging.getLogger(__name__)
_STDERR: Final = 2
_UNREAD: Final = 141
"""Exit status of a shell's child that SIGPIPE ended."""
_CHECK_EXAMPLES: Final = """\
  resonanced check                      what this kernel allows, and the tier
"""
_RUN_EXAMPLES: Final = """\
  resonanced run                        measure and serve until Ctrl-C
  resonanced run --for 15               the same for 15 seconds
  resonanced run --backend bcc          one backend, or an error
"""
_ROLLBACK_EXAMPLES: Final = """\
  resonanced rollback                   remove what dead services left
"""
_EXAMPLES: Final = f"examples:\n{_CHECK_EXAMPLES}{_RUN_EXAMPLES}{_ROLLBACK_EXAMPLES}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    _fill_standard_streams()
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (DaemonError, ProbeError) as error:
        sys.stderr.write(f"resonanced: {error}\n")
        return error.exit_code if isinstance(error, DaemonError) else 1
    except BrokenPipeError:
        _silence_stdout()
        return _UNREAD
    return status


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
        description="See how long tasks and sockets wait, per cgroup; change nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the release and exit")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    run = _add_verb(verbs, "run", "measure and serve until Ctrl-C", _RUN_EXAMPLES)
    run.add_argument("--for", dest="for_seconds", type=seconds, metavar="SECONDS", help="then end")
    run.add_argument(
        "--no-view", action="store_true", help="no live view, even on a terminal; log to stderr"
    )
    run.set_defaults(run=_run)
    what = "say what this kernel allows, and the tier it would take"
    checks = _add_verb(verbs, "check", what, _CHECK_EXAMPLES)
    checks.add_argument("--output", choices=("text", "json"), default="text")
    checks.set_defaults(run=_check)
    rollback = _add_verb(verbs, "rollback", "remove what dead services left", _ROLLBACK_EXAMPLES)
    rollback.add_argument("--output", choices=("text", "json"), default="text")
    rollback.set_defaults(run=_rollback)
    return parser


def _add_verb(verbs: _Verbs, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_configuration(verb)
    return verb


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    default = f"instead of {config.DEFAULT_PATH}"
    parser.add_argument("--config", type=Path, metavar="FILE", help=default)
    parser.add_argument("--backend", choices=("auto", "core", "bcc", "none"))
    parser.add_argument("--cgroup", action="append", metavar="GLOB", help="always give it a slot")
    parser.add_argument("--port", type=int, help="of the metrics")
    parser.add_argument("--runtime-directory", metavar="DIR", help="of the socket and the page")


def seconds(text: str) -> float:
    """Parse a positive, finite number of seconds; argparse names this function in its error."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return value


def _settings(arguments: argparse.Namespace) -> config.Settings:
    flags: dict[str, dict[str, Any]] = {}
    for table, key, value in (
        ("probes", "backend", arguments.backend),
        ("signals", "cgroups", arguments.cgroup),
        ("telemetry", "port", arguments.port),
        ("service", "runtime_directory", arguments.runtime_directory),
    ):
        if value is not None:
            flags.setdefault(table, {})[key] = value
    return config.load(arguments.config, flags)


def _run(arguments: argparse.Namespace) -> int:
    # Here, so that `check` and `rollback` start without what only the service needs.
    from resonanced.keeper import Inheritance, Keeper

    settings = _settings(arguments)
    logs.configure(settings.service.log_level)

    def become_daemon(inheritance: Inheritance) -> int:
        # One thread is enough for sums over 64 rows, and each costs memory. Read at import.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        from resonanced import service

        return service.run(inheritance)

    keeper = Keeper(
        lambda: _settings(arguments),
        become_daemon,
        _announce,
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


def _announce(report: LoadReport, ready: link.Ready, identity: Identity) -> None:
    attached = sum(program.attached for program in report.programs)
    what = f"{attached} of {len(report.programs)} programs"
    if report.backend == "none":
        what = "no BPF: sums and means, no histograms"
    lines = [
        "resonanced: observe mode, nothing on this host is changed",
        f"  backend  {report.backend}, tier {report.tier}, cgroups by {report.hierarchy}; {what}",
        *(f"           not {refused.backend}: {refused.reason}" for refused in report.rejected),
        *(
            f"           without {program.name}: {program.reason}"
            for program in report.programs
            if not program.attached
        ),
        f"  metrics  {ready.metrics}",
        f"  hints    {ready.hints}",
        f"  user     {identity.user}, group {identity.group}"
        + (" (there is no user resonance here)" if identity.is_fallback else ""),
    ]
    try:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    except OSError as error:
        # The service is no less wanted when nobody reads this.
        _silence_stdout()
        _log.warning("announcement_unread reason=%r", error.strerror)


def _rollback(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    pinned, running = pins.rollback(Path(settings.probes.bpffs_directory))
    left, holder = runtime.sweep_after_death(settings)
    removed = [str(path) for path in [*(each.path for each in pinned), *left]]
    alive = sorted({each.pid for each in running} | ({holder} if holder is not None else set()))
    if arguments.output == "json":
        sys.stdout.write(json.dumps({"removed": removed, "alive": alive}) + "\n")
        return 1 if alive else 0
    lines = [f"removed {path}" for path in removed]
    lines += [f"resonanced runs, pid {pid}: stop it to remove what is its" for pid in alive]
    sys.stdout.write("\n".join(lines or ["nothing to remove"]) + "\n")
    return 1 if alive else 0


def _check(arguments: argparse.Namespace) -> int:
    from resonanced import check

    text, status = check.report(_settings(arguments), arguments.output)
    sys.stdout.write(text)
    return status
