"""The certificate of our own listener: read at the start, and again when its owner says so."""

import ssl
from pathlib import Path

from postbell.errors import BadInput, ServiceError
from postbell.signals import log
from postbell.text import small_files


class Certificate:
    """A TLS context of certificate and key files, for new connections; TLS 1.2 or newer."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        """Read the files; raise ServiceError that names the one that does not work."""
        self._cert_file = cert_file
        self._key_file = key_file
        self.context = self._read()

    def reload(self) -> None:
        """Read the files again; one that does not work changes nothing.

        The context is a new one: another kind of key would only stand beside the old one in it.
        """
        try:
            self.context = self._read()
        except ServiceError as error:
            log("certificate_failed", file=self._cert_file, error=str(error))
        else:
            log("certificate_read", file=self._cert_file)

    def _read(self) -> ssl.SSLContext:
        for path in (self._cert_file, self._key_file):
            try:
                small_files.read(Path(path), small_files.CERTIFICATES_BYTES)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ServiceError(f"cannot read the TLS file {path}: {reason}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert_file, self._key_file, password=_no_password)
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the TLS certificate {self._cert_file} and the key {self._key_file} do not work"
                f" together: {error}"
            ) from None
        return context


def certificate(cert_file: str, key_file: str) -> Certificate | None:
    """Return the certificate of the settings, None where none is named.

    Raises BadInput where only one of the two files is named.
    """
    if bool(cert_file) != bool(key_file):
        member = "tls_key_file" if cert_file else "tls_cert_file"
        raise BadInput(f"{member} is missing; TLS needs certificate and key", member=member)
    return Certificate(cert_file, key_file) if cert_file else None


def _no_password() -> str:
    """Refuse an encrypted key instead of asking on the terminal."""
    raise ValueError("the key is encrypted; take the password off")
