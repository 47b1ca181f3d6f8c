"""A certificate authority and a certificate for 127.0.0.1, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


def missing() -> str | None:
    """Say what this machine lacks to make certificates; None when it lacks nothing."""
    return None if shutil.which("openssl") else "there is no openssl to make certificates"


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority's certificate, the certificate for 127.0.0.1, and its key."""

    ca: Path
    certificate: Path
    key: Path


def make(folder: Path) -> Certificates:
    """Make the certificates in a folder; they are valid for two days."""
    made = Certificates(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    wish, ca_key = str(folder / "wish.pem"), str(folder / "ca.key")
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj")
    # Python 3.13 and newer accept an authority only if its key usage allows signing.
    signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _run(*new, "/CN=authority", "-x509", *signs, "-days", "2", "-keyout", ca_key, "-out", str(made.ca))
    name = ("-addext", "subjectAltName=IP:127.0.0.1")
    _run(*new, "/CN=127.0.0.1", *name, "-keyout", str(made.key), "-out", wish)
    sign = ("-CA", str(made.ca), "-CAkey", ca_key, "-days", "2", "-copy_extensions", "copy")
    _run("openssl", "x509", "-req", "-in", wish, *sign, "-out", str(made.certificate))
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stderr}"
