"""TLS of the gRPC port: the certificate, its key, and who vouches for clients; read again when the files change.

gRPC asks before every handshake whether there is something new, so a certificate is replaced without a restart: the
next connection gets the new one, those that are open go on with theirs. Certificate and key are two files, and nobody
replaces two at once: what does not fit together is not taken, and the old ones stay.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from invengine.settings import Settings

logger = logging.getLogger(__name__)


class TlsUnusable(Exception):
    """The files of TLS cannot be used; the sentence says why, and no line of a key is in it."""


def server_credentials(settings: Settings) -> grpc.ServerCredentials:
    """What a port is opened with. TlsUnusable."""
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    files = _Files(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(),
        files.changed,  # type: ignore[arg-type]  # None is allowed: nothing is new
        require_client_authentication=settings.tls_client_ca is not None,
    )


class _Files:
    """The files as they were when they were last good."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._stamp: Any = None
        """What the files looked like when they were read, also when they were not good then."""

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What the files say now. TlsUnusable."""
        self._stamp = self._look()
        read = self._read()
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            if self._client_ca:
                context.load_verify_locations(cafile=self._client_ca)
        except (ssl.SSLError, ValueError, OSError) as fault:
            why = getattr(fault, "reason", None) or getattr(fault, "strerror", None) or str(fault)
            raise TlsUnusable(f"the TLS files cannot be used together: {self._named()}: {why}") from None
        if self._read() != read:
            raise TlsUnusable(f"the TLS files change while they are read: {self._named()}")
        certificate, key, client_ca = read
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca or None)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What a new connection gets; None: the same as the one before. Called by threads of gRPC."""
        stamp = self._look()
        if stamp == self._stamp:
            return None
        try:
            configuration = self.configuration()
        except TlsUnusable as fault:
            logger.warning("the new certificate is not taken, the old one stays: %s", fault)
            return None
        logger.info("a new certificate is used from now on: %s", self._certificate)
        return configuration

    def _look(self) -> Any:
        looks = []
        for file in (self._certificate, self._key, self._client_ca):
            try:
                found = file.stat() if file else None
            except OSError:
                found = None
            looks.append((found.st_mtime_ns, found.st_size, found.st_ino) if found else None)
        return looks

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            ca = self._client_ca.read_bytes() if self._client_ca else b""
            return self._certificate.read_bytes(), self._key.read_bytes(), ca
        except OSError as fault:
            raise TlsUnusable(f"cannot read {fault.filename}: {fault.strerror}") from None

    def _named(self) -> str:
        return ", ".join(str(file) for file in (self._certificate, self._key, self._client_ca) if file)


def _no_password() -> str:
    raise ValueError("the key is encrypted")
