"""Which server is believed to be the right one: addresses, tokens and certificates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stand_in import certificate, scan, serving

from LowResSegLib.errors import InputError, RemoteError
from LowResSegLib.model import Model
from LowResSegLib.remote.client import Server, check_server, forget_pin, known_pin, readable, segment_remotely
from LowResSegLib.remote.client.server import read_token
from LowResSegLib.remote.client.trust import fingerprint


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("jetson", "https://jetson:8765"),
        ("jetson:9000", "https://jetson:9000"),
        (" https://Jetson/ ", "https://jetson:8765"),
        ("https://clinic.example:443/seg/", "https://clinic.example:443/seg"),
        ("http://localhost", "http://localhost:8765"),
        ("http://127.0.0.7:1", "http://127.0.0.7:1"),
        ("http://[::1]:5", "http://[::1]:5"),
        ("[fe80::1]:5", "https://[fe80::1]:5"),
    ],
)
def test_addresses_are_brought_into_one_form(text: str, url: str) -> None:
    assert Server(text).url == url
    assert Server(url).url == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no address"),
        ("https://", "no address"),
        ("ftp://jetson", "no address"),
        ("https://jetson:99999", "no address"),
        ("https://jetson:x", "no address"),
        ("https://jetson/?a=b", "no address"),
        ("https://jet\nson", "no address"),
        ("https://user:word@jetson", "token goes into a field of its own"),
        ("http://jetson", "for all to read; write https://"),
        ("http://192.168.1.5:8765", "for all to read"),
    ],
)
def test_what_is_no_address_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Server(text)


def test_tokens_and_fingerprints_are_looked_at() -> None:
    assert Server("a", token=" abc\n").token == "abc"
    for token in ("a b", "a\r\nX-Evil: 1", "tökén"):
        with pytest.raises(InputError, match="token has characters"):
            Server("a", token=token)
    assert Server("a", fingerprint="AB:" * 31 + "CD").fingerprint == "ab" * 31 + "cd"
    for digits in ("AB", "xy" * 32):
        with pytest.raises(InputError, match="64 hexadecimal digits"):
            Server("a", fingerprint=digits)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    assert read_token(path) == "secret" and read_token(None) == ""
    monkeypatch.setenv("LOWRESSEG_TOKEN", " other ")
    assert read_token(None) == "other" and read_token(path) == "secret"
    for content in (b"", b"two words", b"\xff\xfe", b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(InputError, match="must hold one token"):
            read_token(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_token(tmp_path / "absent")


def digest(path: Path) -> str:
    import ssl

    return fingerprint(ssl.PEM_cert_to_DER_cert(path.read_text()))


def test_a_certificate_is_remembered_at_first_use(
    small_model: Model, tmp_path: Path, rng: object, own_settings: Path
) -> None:
    files = certificate(tmp_path, "first")
    with serving("token", files) as server:
        client = Server(server.url, "token")
        first, second = check_server(client), check_server(client)
        _, record, _ = segment_remotely(scan(rng), "small", client)  # type: ignore[arg-type]
    assert first.fingerprint == second.fingerprint == digest(files[0])
    assert first.first_use and not second.first_use and first.secure and not record["warnings"]
    pin = known_pin(client.address)
    assert pin is not None and pin.fingerprint == digest(files[0])
    assert list(own_settings.iterdir()) == [own_settings / "servers.json"]


def test_the_run_that_trusts_a_certificate_says_so(small_model: Model, tmp_path: Path, rng: object) -> None:
    files = certificate(tmp_path, "first")
    with serving("", files) as server:
        _, record, _ = segment_remotely(scan(rng), "small", Server(server.url))  # type: ignore[arg-type]
    (warning,) = record["warnings"]
    assert "seen for the first time" in warning and readable(digest(files[0])) in warning


def test_another_certificate_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    with serving("token", first) as server:
        port = server.server_address[1]
        check_server(Server(server.url, "token"))
    with serving("token", second) as server:
        # The same address as before: what is remembered of one goes to the other.
        settings = json.loads((tmp_path / "settings" / "servers.json").read_text())
        pins = settings["certificates"]
        pins[f"127.0.0.1:{server.server_address[1]}"] = pins[f"127.0.0.1:{port}"]
        (tmp_path / "settings" / "servers.json").write_text(json.dumps(settings))
        client = Server(server.url, "token")
        with pytest.raises(RemoteError, match=r"shows another certificate than before.*nothing was sent") as caught:
            check_server(client)
        assert readable(digest(second[0])) in str(caught.value) and not server.seen
        assert f"lowresseg remote forget {client.address}" in str(caught.value)
        assert forget_pin(client.address) and not forget_pin(client.address)
        assert check_server(client).first_use


def test_an_expired_certificate_is_refused_even_at_first_use(tmp_path: Path, own_settings: Path) -> None:
    for name, days, sentence in (("old", (-9, -1), "has expired"), ("new", (1, 9), "is not valid yet")):
        with serving("token", certificate(tmp_path, name, days)) as server:
            with pytest.raises(RemoteError, match=f"certificate of 127.0.0.1:[0-9]+ {sentence}; check the clocks"):
                check_server(Server(server.url, "token"))
            assert not server.seen and known_pin(Server(server.url).address) is None


def test_a_certificate_that_has_expired_since_is_refused(tmp_path: Path) -> None:
    import ssl

    from LowResSegLib.remote.client.trust import remember_pin

    files = certificate(tmp_path, "old", (-9, -1))
    with serving("token", files) as server:
        client = Server(server.url, "token")
        remember_pin(client.address, files[0].read_text())
        with pytest.raises(RemoteError, match="has expired"):
            check_server(client)
    assert ssl.OPENSSL_VERSION


def test_a_given_fingerprint_makes_the_first_use_safe(tmp_path: Path) -> None:
    files, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    with serving("", files) as server:
        with pytest.raises(RemoteError, match="not the server that was meant; nothing was sent"):
            check_server(Server(server.url, fingerprint=digest(other[0])))
        assert known_pin(Server(server.url).address) is None and not server.seen
        assert check_server(Server(server.url, fingerprint=readable(digest(files[0])))).first_use
        with pytest.raises(RemoteError, match=r"remembered of .* has another fingerprint than the one given"):
            check_server(Server(server.url, fingerprint=digest(other[0])))


def test_authorities_may_vouch(tmp_path: Path) -> None:
    files, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    with serving("", files) as server:
        check = check_server(Server(server.url, ca_file=str(files[0])))
        assert check.secure and not check.first_use and not check.fingerprint
        assert known_pin(Server(server.url).address) is None
        for authority in (str(other[0]), "system"):
            with pytest.raises(RemoteError, match="is not vouched for"):
                check_server(Server(server.url, ca_file=authority))
        with pytest.raises(InputError, match=r"CA file .*absent.* cannot be used"):
            check_server(Server(server.url, ca_file=str(tmp_path / "absent")))
        with pytest.raises(RemoteError, match="not the server that was meant"):
            check_server(Server(server.url, ca_file=str(files[0]), fingerprint=digest(other[0])))


def test_authorities_vouch_for_a_name(tmp_path: Path) -> None:
    files = certificate(tmp_path, "own")
    with serving("", files) as server:
        url = server.url.replace("127.0.0.1", "localhost")  # which is not in the certificate
        with pytest.raises(RemoteError, match="is not vouched for"):
            check_server(Server(url, ca_file=str(files[0])))


def test_tls_and_plain_do_not_meet(tmp_path: Path) -> None:
    with serving() as server, pytest.raises(RemoteError, match="does not speak TLS"):
        check_server(Server(server.url.replace("http:", "https:")))
    with serving("", certificate(tmp_path, "own")) as server, pytest.raises(RemoteError, match="write https://"):
        check_server(Server(server.url.replace("https:", "http:")))


def test_a_damaged_list_of_servers_trusts_nobody(tmp_path: Path, own_settings: Path) -> None:
    own_settings.mkdir()
    with serving("", certificate(tmp_path, "own")) as server:
        for content in ("", "{}", '{"certificates": {"a": "b"}}', "[]", "\x00"):
            (own_settings / "servers.json").write_text(content)
            with pytest.raises(InputError, match="repair or remove it"):
                check_server(Server(server.url))
        assert not server.seen


def test_a_wrong_token_is_told() -> None:
    with serving("right") as server:
        for token in ("", "wrong"):
            with pytest.raises(RemoteError, match="token"):
                check_server(Server(server.url, token))
        assert check_server(Server(server.url, "right")).models
