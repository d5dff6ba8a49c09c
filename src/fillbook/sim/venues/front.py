"""What lies between a client and a simulated venue: the lookup of its name, and TLS.

Both are real: a name that fails is asked of the machine's resolver under `.invalid`, where RFC
2606 promises that nothing exists, and a handshake that fails ends in a TLS alert on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fillbook.sim.faults import FaultPlan
from fillbook.sim.venues.wire import HOST

_JOIN_S = 10.0
_CHUNK = 1 << 16
# A record of type alert, TLS 1.2, two bytes: fatal, handshake_failure (RFC 8446, section 6).
_ALERT = bytes((21, 3, 3, 0, 2, 2, 40))


class Names:
    """Lookups of one host name in this program; while `dns_error` strikes, it does not resolve.

    Every lookup is one occasion. Used as a context manager; other names are left alone.
    """

    def __init__(self, plan: FaultPlan, host: str = "localhost") -> None:
        self._plan = plan
        self._host = host
        self._real = socket.getaddrinfo

    def __enter__(self) -> Self:
        self._real, socket.getaddrinfo = socket.getaddrinfo, self._asked
        return self

    def __exit__(self, *_: object) -> None:
        socket.getaddrinfo = self._real

    def _asked(self, host: Any, *rest: Any, **named: Any) -> Any:
        told = host.decode() if isinstance(host, bytes) else host
        if told == self._host and self._plan.first(["dns_error"], f"names:{told}"):
            return self._real(f"{told}.invalid", *rest, **named)
        return self._real(host, *rest, **named)


class Front:
    """TLS in front of a venue's port; while `tls_error` strikes, a handshake is broken off.

    `folder` keeps the certificate, `trusting()` is what a client needs to believe it. Every new
    connection is one occasion. Used as a context manager; what it relays it never looks into.
    """

    def __init__(self, port: int, plan: FaultPlan, folder: Path) -> None:
        self._venue_port = port
        self._plan = plan
        self._certificate = _certified(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self._certificate)
        self._door = socket.create_server((HOST, 0))
        self._door.setblocking(False)
        self.url = f"https://{HOST}:{self._door.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sim-front", daemon=True)

    def trusting(self) -> ssl.SSLContext:
        """Return a client's context that believes this front and nobody else."""
        return ssl.create_default_context(cafile=str(self._certificate))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(_JOIN_S)

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._door.close()
        self._loop.close()

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as relays:
                while True:
                    plug, _ = await self._loop.sock_accept(self._door)
                    if self._plan.first(["tls_error"], f"front:{self._venue_port}"):
                        relays.create_task(self._broken_off(plug))
                    else:
                        relays.create_task(self._relayed(plug))
        finally:
            await self._loop.shutdown_asyncgens()

    async def _broken_off(self, plug: socket.socket) -> None:
        with plug, contextlib.suppress(OSError):
            await self._loop.sock_recv(plug, _CHUNK)
            await self._loop.sock_sendall(plug, _ALERT)

    async def _relayed(self, plug: socket.socket) -> None:
        heard = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(heard)
        with contextlib.suppress(OSError):  # either side may leave at any moment
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol, plug, ssl=self._context
            )
            client = asyncio.StreamWriter(transport, protocol, heard, self._loop)
            told, venue = await asyncio.open_connection(HOST, self._venue_port)
            await asyncio.gather(_poured(heard, venue), _poured(told, client))


async def _poured(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    """Carry bytes until one side ends, then end the other."""
    try:
        while chunk := await source.read(_CHUNK):
            drain.write(chunk)
            await drain.drain()
    except OSError:
        pass
    finally:
        drain.close()


def _certified(folder: Path) -> Path:
    """Write a fresh key and a certificate of this machine's loopback address; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated venue")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "front.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    path.chmod(0o600)
    return path
