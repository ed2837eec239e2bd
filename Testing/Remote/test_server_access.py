"""Who gets in: tokens, hosts, TLS, versions, and what the command refuses."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from minimal_client import MinimalClient, small_grid

from LowResSegLib.cli import main
from LowResSegLib.errors import InputError
from LowResSegLib.remote.protocol import AnswerError
from LowResSegLib.remote.server.certificate import check, fingerprint, own_certificate
from LowResSegLib.remote.server.serving import Server
from LowResSegLib.remote.server.settings import Settings
from LowResSegLib.remote.server.tokens import Tokens


def test_tokens_are_kept_as_hashes_and_revoked_at_once(tmp_path: Path) -> None:
    tokens, elsewhere = Tokens(tmp_path), Tokens(tmp_path)
    first, second = tokens.create("reading room"), tokens.create("ward 3")
    content = (tmp_path / "tokens.json").read_text()
    assert first.split("_", 2)[2] not in content and second.split("_", 2)[2] not in content
    assert len({entry["salt"] for entry in json.loads(content)["tokens"]}) == 2
    if sys.platform != "win32":
        assert stat.S_IMODE(os.stat(tmp_path / "tokens.json").st_mode) == 0o600
    assert tokens.check(first).name == elsewhere.check(first).name == "reading room"
    with pytest.raises(InputError, match="choose another name"):
        tokens.create("ward 3")
    elsewhere.revoke("reading room")
    with pytest.raises(AnswerError) as error:
        tokens.check(first)
    assert error.value.code == "revoked_token" and tokens.check(second).name == "ward 3"
    third = tokens.create("reading room")
    assert tokens.check(third).name == "reading room" and third != first
    with pytest.raises(InputError, match="no token named"):
        tokens.revoke("nobody")


def test_wrong_tokens_are_refused(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    good = tokens.create("one")
    other = tokens.create("two")
    swapped = f"lrs_{good.split('_', 2)[1]}_{other.split('_', 2)[2]}"
    wrong = [
        "",
        "lrs_",
        good[:-1],
        good + "x",
        good.swapcase(),
        swapped,
        "lrs_" + "0" * 16 + "_" + "A" * 43,
        "\u00e9" * 9,
    ]
    for given in wrong:
        with pytest.raises(AnswerError) as error:
            tokens.check(given)
        assert error.value.status == 401, given


def test_a_damaged_token_file_lets_nobody_in(tmp_path: Path, start: Any) -> None:
    token = Tokens(tmp_path / "server").create("one")
    client = start().client(token)
    assert client.ask("GET", "/v1/models").status == 200
    (tmp_path / "server" / "tokens.json").write_text("{")
    answer = client.ask("GET", "/v1/models")
    assert answer.status == 500 and "cannot read its tokens" in answer.json["message"]
    assert str(tmp_path) not in answer.body.decode()
    (tmp_path / "server" / "tokens.json").write_text('{"tokens": []}')
    assert client.ask("GET", "/v1/models").status == 200  # as if there had never been one: loopback alone


def test_requests_need_the_token(tmp_path: Path, start: Any, small_model: Any) -> None:
    tokens = Tokens(tmp_path / "server")
    token, other = tokens.create("one"), tokens.create("two")
    running = start()
    request, body = small_grid(small_model)
    client = running.client(token)
    job = client.create(request)
    assert running.client().ask("GET", "/healthz").status == 200
    for path in ("/v1/models", "/v1/capabilities", "/v1/metrics", f"/v1/jobs/{job.id}", "/v1/nothing"):
        answer = running.client().ask("GET", path)
        assert (answer.status, answer.code) == (401, "no_token") and answer.headers["www-authenticate"] == "Bearer"
        assert running.client("lrs_wrong").ask("GET", path).code == "wrong_token"
    # Another client's job is not there, for whatever method.
    stranger = running.client(other)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/record"), ("GET", "/events")):
        assert stranger.ask(method, f"/v1/jobs/{job.id}{path}").code == "not_found"
    assert stranger.put(job.id, body).code == "not_found"
    assert stranger.create(request).id != job.id  # keys are each client's own
    assert client.put(job.id, body).status == 200 and client.result(job.id)
    tokens.revoke("one")
    answer = client.ask("GET", f"/v1/jobs/{job.id}/result")
    assert (answer.status, answer.code) == (403, "revoked_token")
    tokens.revoke("two")  # without any good token it does not become open
    assert running.client().ask("GET", "/v1/models").code == "no_token"


def test_without_a_token_it_answers_to_this_computer_alone(start: Any) -> None:
    client = start().client()
    assert client.ask("GET", "/v1/models", headers={"Host": "localhost:8765"}).status == 200
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example:8765"}, {"Origin": "https://evil.example"}):
        assert client.ask("GET", "/v1/models", headers=headers).code == "wrong_host"


def test_it_does_not_open_without_token_and_tls(tmp_path: Path) -> None:
    def server(**settings: Any) -> Server:
        return Server(Settings(folder=tmp_path, port=0, **settings))

    with pytest.raises(InputError, match="make a token first"):
        server(host="0.0.0.0")
    with pytest.raises(InputError, match="make a token first"):
        server(behind_proxy=True)
    Tokens(tmp_path).create("one")
    with pytest.raises(InputError, match="Without TLS"):
        server(host="0.0.0.0")
    with pytest.raises(InputError, match="cannot listen"):
        server(host="256.256.256.256.invalid", behind_proxy=True)
    Tokens(tmp_path).revoke("one")
    with pytest.raises(InputError, match="make a token first"):
        server(host="0.0.0.0", behind_proxy=True)


def test_tls_with_a_certificate_of_its_own(tmp_path: Path, start: Any) -> None:
    folder = tmp_path / "server"
    files = own_certificate(folder, "192.168.7.7")
    assert own_certificate(folder, "192.168.7.7") == files
    token = Tokens(folder).create("one")
    before = files[0].read_bytes()
    running = start(files)
    assert running.address.startswith("https://") and files[0].read_bytes() == before
    context = ssl.create_default_context(cafile=str(files[0]))  # its names hold for localhost
    assert running.client(token, context).ask("GET", "/v1/models").status == 200
    port = int(running.address.rpartition(":")[2])
    seen = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    assert hashlib.sha256(seen).hexdigest().upper() == fingerprint(files[0]).replace(":", "")
    with pytest.raises(ssl.SSLCertVerificationError):
        running.client(token, ssl.create_default_context()).ask("GET", "/v1/models")
    if sys.platform != "win32":
        assert stat.S_IMODE(os.stat(files[1]).st_mode) == 0o600


def test_certificates_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (own_certificate(tmp_path / name, "localhost") for name in ("a", "b"))
    with pytest.raises(InputError, match="belong together"):
        check(first[0], second[1])
    with pytest.raises(InputError, match="cannot be used"):
        check(tmp_path / "none.pem", first[1])

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + datetime.timedelta(days=365 * 21)

    monkeypatch.setattr(datetime, "datetime", Later)
    with pytest.raises(InputError, match="has expired"):
        check(*first)


def test_other_versions_get_a_sentence(start: Any) -> None:
    client: MinimalClient = start().client()
    answer = client.ask("POST", "/v2/jobs", {"something": "new"})
    assert (answer.status, answer.code, answer.json["protocol"]) == (426, "wrong_version", [1, 1])
    assert "update LowResSeg on the server" in answer.json["message"]
    assert "on the client" in client.ask("GET", "/v0/models").json["message"]
    assert client.ask("GET", "/").code == "not_found"
    assert client.ask("GET", "/v1/nothing").code == "not_found"
    assert client.ask("PUT", "/v1/models").code == "not_allowed"


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--folder", str(tmp_path)]
    assert main(["serve", "token", "create", "ward 3", *folder]) == 0
    token = capsys.readouterr().out.strip()
    assert Tokens(tmp_path).check(token).name == "ward 3"
    assert main(["serve", *folder, "token", "list"]) == 0
    listed = capsys.readouterr().out
    assert "ward 3" in listed and token not in listed and "revoked" not in listed
    assert main(["serve", "token", "revoke", "ward 3", *folder]) == 0
    assert main(["serve", "token", "list", *folder]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["serve", "token", "revoke", "ward 3", *folder]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "make a token first"),
        (["--behind-proxy"], "make a token first"),
        (["--tls", "one.pem"], "two files"),
        (["--tls", "one.pem", "two.pem"], "cannot be used"),
        (["--max-body", "0"], "not a number above 0"),
        (["--workers", "0"], "whole number"),
        (["--port", "70000"], "whole number"),
    ],
)
def test_the_command_says_what_it_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    try:
        status = main(["serve", "--folder", str(tmp_path), *arguments])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2 and sentence in " ".join(capsys.readouterr().err.split())
