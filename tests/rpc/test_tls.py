"""TLS and mTLS on the gRPC port: who is let in, and certificates that are replaced while the server runs."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from invengine import bootstrap
from invengine.client import Client, ServerUnreachable, Tls, TokenInClear
from invengine.errors import Unauthenticated
from tests.certificates import Authority
from tests.rpc.engines import settings_for
from tests.rpc.tokens import guarded

pytestmark = pytest.mark.asyncio


def presented(address: str, ca: Path) -> bytes:
    """The certificate that the server shows to a new connection, checked by the CA."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw, server_hostname=host) as wire:
        found = wire.getpeercert(binary_form=True)
    assert found is not None
    return found


async def test_a_server_with_a_certificate_speaks_nothing_but_tls_and_takes_a_new_one(
    redis_url: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    settings = settings_for(redis_url, tls_certificate=certificate, tls_key=key)
    async with bootstrap.running(settings) as running:
        trusted = Tls.read(ca=authority.ca)
        async with Client(running.address, tls=trusted, retry_seconds=0.0) as client:
            await client.list_feeds()
            for wrong in (None, Tls.read(ca=Authority(tmp_path, "another").ca)):
                async with Client(running.address, tls=wrong, retry_seconds=0.0) as stranger:
                    with pytest.raises(ServerUnreachable):
                        await stranger.list_feeds()
            before = presented(running.address, authority.ca)
            key.write_bytes(b"not a key\n")
            assert presented(running.address, authority.ca) == before  # what does not fit is not taken
            authority.server()
            after = presented(running.address, authority.ca)
            assert after != before
            await client.list_feeds()  # the connection of before goes on


async def test_a_client_brings_a_certificate_where_it_must_and_one_may_stand_for_a_token(
    redis_url: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    till = "spiffe://shop/till"
    settings = settings_for(
        redis_url,
        tls_certificate=certificate,
        tls_key=key,
        tls_client_ca=authority.ca,
        authentication=True,
        data_dir=tmp_path,
    )

    def tls(stem: str, *uris: str) -> Tls:
        own, own_key = authority.client(stem, *uris)
        return Tls.read(ca=authority.ca, certificate=own, key=own_key)

    async with bootstrap.running(settings) as running:
        plain: dict[str, Any] = {"retry_seconds": 0.0}
        token = (tmp_path / "admin.token").read_text().strip()
        async with Client(running.address, token=token, tls=Tls.read(ca=authority.ca), **plain) as without:
            with pytest.raises(ServerUnreachable):
                await without.list_feeds()
        async with (
            Client(running.address, token=token, tls=tls("admin"), **plain) as admin,
            Client(running.address, tls=tls("till", till), **plain) as by_certificate,
            Client(running.address, tls=tls("both", till, "spiffe://shop/web"), **plain) as of_two,
            Client(running.address, tls=tls("nobody", "spiffe://shop/other"), **plain) as nobody,
        ):
            with pytest.raises(Unauthenticated):
                await by_certificate.list_feeds()
            issued = await admin.issue_token("till", roles=["read"], certificate_uri=till)
            assert (issued.secret, issued.token.certificate_uri) == ("", till)
            await admin.issue_token("web", roles=["read"], certificate_uri="spiffe://shop/web")
            await by_certificate.list_feeds()
            for client in (of_two, nobody):
                with pytest.raises(Unauthenticated):
                    await client.list_feeds()
            async with Client(
                running.address, token=f"{issued.token.token_id}.", tls=tls("guess"), **plain
            ) as guess:  # such a token has no secret, and an empty one is none
                with pytest.raises(Unauthenticated):
                    await guess.list_feeds()
            await admin.revoke_token(issued.token.token_id)
            with pytest.raises(Unauthenticated):
                await by_certificate.list_feeds()
            again = await admin.issue_token("till", roles=["read"], certificate_uri=till)
            await by_certificate.list_feeds()
            assert again.token.token_id != issued.token.token_id


@pytest.mark.parametrize(
    ("broken", "told"),
    [("missing", "cannot read"), ("other key", "cannot be used together"), ("no pem", "cannot be used together")],
)
async def test_tls_files_that_do_not_do_are_named_at_the_start(
    redis_url: str, tmp_path: Path, broken: str, told: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    if broken == "missing":
        key.unlink()
    elif broken == "other key":
        shutil.copy(authority.client("other")[1], key)
    else:
        key.write_text("SECRET LINE OF A KEY")
    with pytest.raises(bootstrap.Broken) as fault:
        async with bootstrap.running(settings_for(redis_url, tls_certificate=certificate, tls_key=key)):
            pass
    assert told in str(fault.value)
    assert str(key) in str(fault.value)
    assert "SECRET LINE" not in str(fault.value)


async def test_the_commands_of_the_page_make_certificates_that_work(redis_url: str, tmp_path: Path) -> None:
    """docs/security.md, as it stands."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in page.splitlines() if line.startswith("    openssl ")]
    assert len(commands) == 3
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    files = {"tls_certificate": tmp_path / "server.pem", "tls_key": tmp_path / "server.key"}
    async with guarded(redis_url, tmp_path, tls=Tls.read(ca=tmp_path / "ca.pem"), **files) as server:
        await server.admin.list_tokens()


@pytest.mark.parametrize(
    ("server", "refused"),
    [
        ("stock.example:50051", True),
        ("192.0.2.1:50051", True),
        ("[2001:db8::1]:50051", True),
        ("127.0.0.1.example:50051", True),
        ("127.0.0.1:50051", False),
        ("[::1]:50051", False),
        ("localhost:50051", False),
        ("dns:///localhost:50051", False),
        ("unix:/tmp/engine.sock", False),
    ],
)
async def test_a_client_sends_no_token_unencrypted_to_another_machine(server: str, refused: bool) -> None:
    """Unless it is told to, as where a proxy encrypts what leaves this machine."""
    if refused:
        with pytest.raises(TokenInClear, match="unencrypted"):
            Client(server, token="id.secret")
    else:
        await Client(server, token="id.secret").close()
    for allowed in ({"token_in_clear": True}, {"tls": True}):
        await Client(server, token="id.secret", **allowed).close()
    with pytest.raises(ValueError, match="go together"):
        Tls(certificate=b"one without the other")
