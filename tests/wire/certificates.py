"""A certificate authority of the test's own."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Signs certificates for receivers; *file* is what a client must trust."""

    def __init__(self, folder: Path, title: str = "Test CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        now = datetime.now(UTC)
        self._certificate = (
            _builder(self._name, self._name, self._key, now, now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(SIGNS, critical=True)  # Python 3.13 asks for it
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{title}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(
        self,
        host: str,
        *,
        starts: timedelta = timedelta(0),
        ends: timedelta = timedelta(hours=1),
        names: Sequence[x509.GeneralName] | None = None,
        key: Key | None = None,
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for *host*, valid from *starts* to
        *ends* counted from now.

        *names* are its subjectAltName instead of *host*; an empty one leaves the extension out.
        *key* is its own, one of elliptic curves by default.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bücher & Söhne"),
                x509.NameAttribute(NameOID.COMMON_NAME, host),
            ]
        )
        now = datetime.now(UTC)
        builder = _builder(name, self._name, key, now + starts, now + ends, self._key)
        names = [x509.DNSName(host)] if names is None else names
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    start: datetime,
    end: datetime,
    issuer_key: ec.EllipticCurvePrivateKey | None = None,
) -> x509.CertificateBuilder:
    signer = (issuer_key or key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(minutes=5))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )
