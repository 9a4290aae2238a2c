"""An authority of our own, and the certificates that one may get wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Issuer:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._root = signed("Authority", self._key.public_key(), "Authority", self._key, ca=True)

    def trusted(self, folder: Path) -> dict[str, str]:
        """What a program's environment needs so that it trusts this authority."""
        path = folder / "authority.pem"
        path.write_bytes(self._root.public_bytes(serialization.Encoding.PEM))
        return {"SSL_CERT_FILE": str(path)}

    def written(
        self,
        path: Path,
        *,
        name: str = "localhost",
        days: tuple[int, int] = (-1, 60),
        own: bool = False,
        between: bool = False,
    ) -> Path:
        """A certificate with its key. `own`: signed by itself; `between`: by an authority in
        between, whose own certificate is left out."""
        key = ec.generate_private_key(ec.SECP256R1())
        by, signer = "Authority", self._key
        if own:
            by, signer = name, key
        elif between:
            by, signer = "Between", ec.generate_private_key(ec.SECP256R1())
        certificate = signed(name, key.public_key(), by, signer, days=days)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


def signed(
    name: str,
    key: ec.EllipticCurvePublicKey,
    by: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    days: tuple[int, int] = (-1, 60),
    ca: bool = False,
) -> x509.Certificate:
    begins, ends = (datetime.now(UTC) + timedelta(days=day, hours=1) for day in days)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(by))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
