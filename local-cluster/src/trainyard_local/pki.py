"""Certificates of the cluster: one authority of our own, and what it signs."""

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 3650
_KEY_USAGE = {
    "digital_signature": True,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate and its private key.

    Attributes
    ----------
    certificate, key : Path
        PEM; the key readable by its owner only.
    """

    certificate: Path
    key: Path

    def exists(self) -> bool:
        """Whether both files are there."""
        return self.certificate.is_file() and self.key.is_file()


class Authority:
    """A certificate authority whose files lie in one folder.

    Parameters
    ----------
    folder : Path
        Where all certificates go; the authority is made on first use, and found again later.
    now : datetime
        Start of what is signed, with a time zone.
    """

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        # A clock that is a little behind elsewhere must not refuse what was just signed.
        self._start = now - dt.timedelta(hours=1)
        self.pair = self._pair("ca")
        if not self.pair.exists():
            self._make_authority()

    def server(self, name: str, hosts: Iterable[str]) -> KeyPair:
        """Certificate of a server.

        Parameters
        ----------
        name : str
            Stem of its files and its common name.
        hosts : iterable of str
            Names and addresses under which it is reached.
        """
        alternatives = [_alternative(host) for host in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._leaf(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, name: str, user: str, groups: Iterable[str] = ()) -> KeyPair:
        """Certificate of a client of the API server.

        Parameters
        ----------
        name : str
            Stem of its files.
        user : str
            Name that Kubernetes sees, at most 64 characters.
        groups : iterable of str
            Groups that Kubernetes sees.
        """
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
                x509.NameAttribute(NameOID.COMMON_NAME, user),
            ]
        )
        return self._leaf(name, subject, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def signing_key(self, name: str) -> KeyPair:
        """Key pair for service-account tokens: ``NAME.pub`` and ``NAME.key``.

        Parameters
        ----------
        name : str
            Stem of its files.
        """
        pair = KeyPair(self.folder / f"{name}.pub", self.folder / f"{name}.key")
        if not pair.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            _write_key(pair.key, key)
            _write(
                pair.certificate,
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                ),
                0o644,
            )
        return pair

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trainyard-local")])
        usage = x509.KeyUsage(**(_KEY_USAGE | {"key_cert_sign": True, "crl_sign": True}))
        certificate = (
            self._builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_key(self.pair.key, key)
        _write(self.pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def _leaf(
        self,
        name: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        alternatives: list[x509.GeneralName],
    ) -> KeyPair:
        pair = self._pair(name)
        wanted = x509.SubjectAlternativeName(alternatives) if alternatives else None
        if pair.exists() and _names(pair.certificate) == (subject, wanted):
            return pair
        signer = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        issuer = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key} is no elliptic-curve key")
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(subject, issuer.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**_KEY_USAGE), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        if wanted is not None:
            builder = builder.add_extension(wanted, critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        _write_key(pair.key, key)
        _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return pair

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._start + dt.timedelta(days=VALID_DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _names(path: Path) -> tuple[x509.Name, x509.SubjectAlternativeName | None]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return certificate.subject, None
    return certificate.subject, extension.value


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(path, text, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    unfinished.rename(path)
