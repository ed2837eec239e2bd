"""`lowresseg serve`: segmentations for other computers, and the tokens by which they are let in."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from LowResSegLib import engine
from LowResSegLib.cli.progress import say
from LowResSegLib.cli.segment import threads_argument
from LowResSegLib.errors import InputError
from LowResSegLib.remote.server.settings import Settings, default_folder
from LowResSegLib.remote.server.tokens import Tokens


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "serve",
        help="segment for other computers",
        description="Serve segmentations to other computers until Ctrl-C. Only this computer can reach the server "
        "unless --host says otherwise, and then it wants a token and TLS. Needs pip install lowresseg[server]. For "
        "research use only.",
    )
    command.add_argument(
        "--host", metavar="ADDRESS", default="127.0.0.1", help="default: %(default)s; 0.0.0.0 for all networks"
    )
    command.add_argument(
        "--port", metavar="N", type=_whole(0, 65535), default=Settings.port, help="default: %(default)s"
    )
    _add_folder(command)
    command.add_argument(
        "--tls",
        metavar=("auto|off|CERTIFICATE", "KEY"),
        nargs="+",
        default=["auto"],
        help="auto: none on loopback, elsewhere a certificate of the server's own, made once; off; or two files in PEM",
    )
    command.add_argument("--behind-proxy", action="store_true", help="a reverse proxy before the server has the TLS")
    command.add_argument("--workers", metavar="N", type=_whole(1, 64), default=1, help="jobs at a time; default: 1")
    command.add_argument("--threads", metavar="N", type=threads_argument, help="of a job; default: all cores, shared")
    command.add_argument("--gpu", action="store_true", help="run float models on ONNX Runtime's GPU; default: never")
    command.add_argument("--no-volumes", action="store_true", help="take low-resolution grids alone")
    for name, metavar, default, text in (
        ("memory", "MB", None, "of a worker process; default: half of the computer's, shared"),
        ("body", "MB", Settings.body_bytes / (1 << 20), "of a scan as it travels"),
        ("voxels", "MILLIONS", Settings.voxels / 1e6, "of a scan"),
        ("seconds", "S", Settings.seconds, "that a job may run"),
        ("jobs", "N", Settings.queued, "that upload, wait or run"),
        ("jobs-per-client", "N", Settings.queued_per_client, "of one token"),
        ("keep", "S", Settings.keep_seconds, "that a result is kept"),
    ):
        shown = "" if default is None else f"; default: {default:g}"
        command.add_argument(f"--max-{name}", metavar=metavar, type=_positive, default=default, help=f"{text}{shown}")
    command.set_defaults(run=run)
    actions = command.add_subparsers(metavar="token", required=False)
    _add_tokens(actions)


def _add_tokens(actions: Any) -> None:
    token = actions.add_parser("token", help="make, list and revoke tokens", description="Who may use the server.")
    choices = token.add_subparsers(metavar="ACTION", required=True)
    for name, function, text in (
        ("create", _create, "make a token and print it, once"),
        ("list", _list, "print the names of all tokens"),
        ("revoke", _revoke, "end a token, at once also for a server that runs"),
    ):
        action = choices.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        if name != "list":
            action.add_argument("name", metavar="NAME", help="whose or what it is for")
        _add_folder(action, argparse.SUPPRESS)  # one that stands before `token` counts, too
        action.set_defaults(run=function)


def _add_folder(command: argparse.ArgumentParser, default: Any = None) -> None:
    command.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        default=default or default_folder(),
        help=f"of jobs, tokens and certificate; default: {default_folder()}",
    )


def run(args: argparse.Namespace) -> int:
    """Serve."""
    try:
        from LowResSegLib.remote.server.certificate import fingerprint
        from LowResSegLib.remote.server.serving import Server, log_to_stderr
    except ImportError as error:
        raise _not_installed(error) from error
    settings = Settings(
        folder=args.folder,
        host=args.host,
        port=args.port,
        behind_proxy=args.behind_proxy,
        workers=args.workers,
        threads=args.threads,
        volumes=not args.no_volumes,
        max_memory=args.max_memory,
        body_bytes=int(args.max_body * (1 << 20)),
        voxels=int(args.max_voxels * 1e6),
        seconds=args.max_seconds,
        queued=int(args.max_jobs),
        queued_per_client=int(args.max_jobs_per_client),
        keep_seconds=args.max_keep,
    )
    certificate = _certificate(args.tls, settings)
    gpu = engine.use_gpu() if args.gpu else ""  # before the worker processes are started

    server = Server(settings, certificate)

    def listening() -> None:
        print(f"LowResSeg serves at {server.address}")
        if certificate is not None:
            print(f"SHA-256 fingerprint of its certificate: {fingerprint(certificate[0])}")
        if gpu:
            print(f"Float models run by {gpu}.")
        print("For research use only. Ctrl-C ends it.", flush=True)

    log_to_stderr()
    server.serve_forever(listening)
    return 0


def _not_installed(error: ImportError) -> InputError:
    return InputError(f"The server needs more Python packages ({error}); install them: pip install lowresseg[server].")


def _certificate(wanted: list[str], settings: Settings) -> Optional[tuple[Path, Path]]:
    """Files of certificate and key, or None for no TLS."""
    if wanted == ["off"] or (wanted == ["auto"] and (settings.loopback or settings.behind_proxy)):
        return None
    try:
        from LowResSegLib.remote.server.certificate import check, own_certificate

        if wanted == ["auto"]:
            return own_certificate(settings.folder, settings.host)
        if len(wanted) != 2:
            raise InputError("--tls is auto, off, or two files: the certificate and its key.")
        certificate, key = Path(wanted[0]), Path(wanted[1])
        check(certificate, key)
    except ImportError as error:
        raise _not_installed(error) from error
    return certificate, key


def _create(args: argparse.Namespace) -> int:
    print(Tokens(args.folder).create(args.name))
    say("Enter it on the computer that shall use the server. It is not shown again.")
    return 0


def _list(args: argparse.Namespace) -> int:
    tokens = Tokens(args.folder).all()
    for token in tokens:
        ended = f", revoked {_day(token.revoked)}" if token.revoked is not None else ""
        print(f"{token.name}  (made {_day(token.created)}{ended})")
    if not tokens:
        say(f"There are no tokens in {args.folder}.")
    return 0


def _revoke(args: argparse.Namespace) -> int:
    Tokens(args.folder).revoke(args.name)
    say(f"The token {args.name} is good no more.")
    return 0


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")
        return int(text)

    return parse
