"""`--remote` of `lowresseg segment`, and `lowresseg remote`: what there is to do about a server from here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.case import Way
from LowResSegLib.errors import InputError
from LowResSegLib.remote.client import Check, Server, check_server, forget_pin, list_models, readable
from LowResSegLib.remote.client.server import TOKEN_VARIABLE, read_token
from LowResSegLib.remote.tasks import Remotely


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options of `lowresseg segment`."""
    options = command.add_argument_group(
        "on a server",
        "A server that runs `lowresseg serve` does the network's part. The scan is sampled and the labels are made "
        "here; the model's low-resolution grid alone is sent.",
    )
    options.add_argument("--remote", metavar="URL", help="the server: https://HOST[:PORT]; default port: 8765")
    _add_server(options, "--remote-")
    options.add_argument(
        "--remote-fallback",
        action="store_true",
        help="where the server cannot do it, do it here; the run record says so",
    )
    options.add_argument(
        "--remote-volume", action="store_true", help="send the whole scan, and let the server do all of the work"
    )


def _add_server(options: Any, prefix: str) -> None:
    options.add_argument(
        f"{prefix}token-file",
        metavar="FILE",
        type=Path,
        help=f"holds the server's token; default: the environment variable {TOKEN_VARIABLE}",
    )
    options.add_argument(
        f"{prefix}ca",
        metavar="FILE",
        default="",
        help="authorities that vouch for the server (PEM), or `system` for those of this computer; default: the "
        "server's certificate is remembered at first use and demanded ever after",
    )
    options.add_argument(
        f"{prefix}fingerprint",
        metavar="SHA256",
        default="",
        help="of the server's certificate, as the server prints it; so the first use is safe, too",
    )


def way(args: argparse.Namespace) -> Optional[Way]:
    """How `lowresseg segment` gets a volume segmented; None where it is done here.

    Raises:
        InputError: The options do not go together, or the address, the token or the fingerprint is none.
    """
    if args.remote is None:
        given = ("remote_token_file", "remote_ca", "remote_fingerprint", "remote_fallback", "remote_volume")
        for name in given:
            if getattr(args, name):
                raise InputError(f"--{name.replace('_', '-')} is of no use without --remote; name the server.")
        return None
    for name, wanted in (("backend", args.backend != "auto"), ("max-memory", args.max_memory is not None)):
        if wanted:
            raise InputError(f"--{name} is for this computer, and --remote lets a server do it; leave one of them out.")
    if args.remote_volume and args.confidence:
        raise InputError("--confidence comes with the grid alone; leave out --remote-volume.")
    server = Server(args.remote, read_token(args.remote_token_file), args.remote_ca, args.remote_fingerprint)
    return Remotely(server, args.remote_volume, args.remote_fallback)


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "remote",
        help="look at a server, or forget its certificate",
        description="Look whether a server can be used, which models it has, or forget its certificate.",
    )
    actions = command.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("test", _test, "say whether a server can be used, and if not, what is wrong"),
        ("models", _models, "list the models of a server"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        action.add_argument("url", metavar="URL", help="https://HOST[:PORT]; default port: 8765")
        _add_server(action, "--")
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=run)
    text = "forget the certificate that is remembered of a server, so that its next one is trusted"
    action = actions.add_parser("forget", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    action.add_argument("url", metavar="HOST:PORT", help="or the server's URL")
    action.set_defaults(run=_forget)


def _server(args: argparse.Namespace) -> Server:
    return Server(args.url, read_token(args.token_file), args.ca, args.fingerprint, patience=5.0)


def _test(args: argparse.Namespace) -> int:
    check = check_server(_server(args))
    entries = {**check.to_dict(), "models": [model.name for model in check.models]}  # `models` tells all of them
    print(json.dumps(entries, indent=1) if args.json else check_text(check))
    return 0


def check_text(check: Check) -> str:
    """What a server that can be used says of itself, in sentences."""
    names = ", ".join(model.name for model in check.models)
    lines = [f"The server can be used. It has LowResSeg {check.lowresseg}; its models: {names}."]
    if check.fingerprint:
        when = "is trusted from now on" if check.first_use else "is the one that is remembered"
        lines.append(f"Its certificate {when}; SHA-256: {readable(check.fingerprint)}")
    if check.first_use:
        lines.append("Compare this with what the server printed when it started.")
    if not check.secure:
        lines.append("The connection is not encrypted, as it does not leave this computer.")
    return "\n".join(lines)


def _models(args: argparse.Namespace) -> int:
    models = list_models(_server(args))
    if args.json:
        print(json.dumps([model.to_dict() for model in models], indent=1))
        return 0
    for model in models:
        print(f"{model.name}\t{model.modality}\t{len(model.labels) - 1} structures\t{model.card.get('title', '')}")
    return 0


def _forget(args: argparse.Namespace) -> int:
    address = Server(args.url).address
    print(
        f"The certificate of {address} is forgotten." if forget_pin(address) else f"None of {address} was remembered."
    )
    return 0
