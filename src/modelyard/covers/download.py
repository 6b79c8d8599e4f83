"""Fetching a picture from an address that somebody else wrote, without being led into our own networks.

    address → host → every address it has, each of them public → connected to one of those, by number
      → answered: a picture, within size and time  ·  redirected: all of it again, up to five times

The name is asked for once, and the connection goes to the number that was checked: a name that leads elsewhere the
second time (DNS rebinding) leads nowhere. No proxy, no cookie and no key is used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from modelyard import __version__, errors
from modelyard.covers.thumbnails import BYTES_MAX

REDIRECTS_MAX = 5
# For the whole of one picture, however slowly it drips.
SECONDS_MAX = 60.0
_CONNECT_SECONDS_MAX = 10.0
_BLOCK_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What may be another moment's: tried again by whoever asks. All else is this address's own.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Public by their form, and yet led on to whatever IPv4 address they hold: by NAT64, by 6to4, by Teredo.
_LED_ON = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class TemporaryFailure(errors.Unavailable):
    """The address may have the picture another time; ``after_seconds`` is what its server asked to wait, if it did."""

    def __init__(self, problem: str, after_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.after_seconds = after_seconds


def resolve(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Where it may be fetched from: the public internet, and ``allowed`` networks."""

    allowed: Sequence[Network] = ()
    resolve: Callable[[str, int], list[str]] = resolve

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the numeric addresses of a host. Raises AddressRefused if one of them is not public."""
        try:
            found = self.resolve(host, port)
        except (OSError, UnicodeError) as problem:
            raise TemporaryFailure(f"the host {host[:100]!r} is not known: {problem}") from None
        for numeric in found:
            if not self._may_reach(ipaddress.ip_address(numeric)):
                raise errors.AddressRefused(f"{host[:100]!r} leads to {numeric}, which is no public address")
        return found

    def _may_reach(self, address: Address) -> bool:
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if any(address in network for network in self.allowed if network.version == address.version):
            return True
        is_led_on = any(address in network for network in _LED_ON if network.version == address.version)
        is_of_a_site = getattr(address, "is_site_local", False)
        return address.is_global and not (address.is_multicast or address.is_reserved or is_led_on or is_of_a_site)


def fetch(address: str, guard: AddressPolicy, seconds_max: float = SECONDS_MAX) -> bytes:
    """Return what an address answers, up to a picture's largest size.

    Raises TemporaryFailure for a failure that may pass, else DownloadFailed or TooLarge.
    """
    for _ in range(REDIRECTS_MAX + 1):
        answered = _ask(_parsed(address), guard, seconds_max)
        if isinstance(answered, bytes):
            return answered
        following = urljoin(address, answered)
        if address.startswith("https:") and not following.startswith("https:"):
            raise errors.AddressRefused("the address redirects from https to something less")
        address = following
    raise errors.DownloadFailed(f"the address redirects more than {REDIRECTS_MAX} times")


def _parsed(address: str) -> SplitResult:
    try:
        parsed = urlsplit(address)
        is_usable = parsed.scheme in _PORTS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port that is no number, a bracket that is never closed
        is_usable = False
    if not is_usable or parsed.username is not None or not address.isprintable():
        raise errors.AddressRefused("this is no address to fetch from; accepted: http:// and https://, without a name")
    return parsed


def _ask(parsed: SplitResult, guard: AddressPolicy, seconds_max: float) -> bytes | str:
    """Ask once; return the body, or where it is redirected to."""
    host, port = parsed.hostname or "", parsed.port or _PORTS[parsed.scheme]
    connected = _connected(guard.addresses(host, port), port)
    is_late = threading.Event()
    # Whatever takes too long, a name's look-up aside, ends when the connection is shut.
    ending = threading.Timer(seconds_max, _shut, (connected, is_late))
    ending.daemon = True
    ending.start()
    try:
        with closing(connected):
            answered = _exchange(parsed, host, port, connected)
    except (OSError, http.client.HTTPException) as problem:
        raise TemporaryFailure(f"{host}: {type(problem).__name__}: {problem}".rstrip(": ")) from None
    finally:
        ending.cancel()
    if is_late.is_set():
        # A body without a length seems to end where it is cut off.
        raise TemporaryFailure(f"{host} took longer than {seconds_max:.0f} seconds")
    return answered


def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    problem: OSError | None = None
    for numeric in addresses:
        try:
            return socket.create_connection((numeric, port), _CONNECT_SECONDS_MAX)
        except OSError as failed:
            problem = failed
    raise TemporaryFailure(f"cannot be reached: {problem}")


def _shut(connected: socket.socket, is_late: threading.Event) -> None:
    is_late.set()
    with suppress(OSError):  # it has ended by itself
        connected.shutdown(socket.SHUT_RDWR)


def _exchange(parsed: SplitResult, host: str, port: int, connected: socket.socket) -> bytes | str:
    connection = http.client.HTTPConnection(host, port)
    if parsed.scheme == "https":
        # The certificate has to be the name's, whatever number we went to.
        connection.sock = _tls().wrap_socket(connected, server_hostname=host)
    else:
        connection.sock = connected
    with closing(connection):
        target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
        target = quote(target, safe="/%:@!$&'()*+,;=~?-._")
        headers = {
            "Accept": "image/webp,image/avif,image/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"modelyard/{__version__}",
            "Connection": "close",
        }
        connection.request("GET", target, headers=headers)
        with closing(connection.getresponse()) as response:
            return _answered(response)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _answered(response: http.client.HTTPResponse) -> bytes | str:
    status = response.status
    if status in _REDIRECTS:
        return response.headers.get("Location") or "about:blank"
    if status in _PASSING:
        raise TemporaryFailure(f"status {status}", _seconds(response.headers.get("Retry-After")))
    if status != 200:
        raise errors.DownloadFailed(f"the address answers with status {status}")
    if int(response.length or 0) > BYTES_MAX:
        raise errors.TooLarge("the picture", BYTES_MAX)
    body = bytearray()
    while block := response.read(_BLOCK_BYTES):
        body += block
        if len(body) > BYTES_MAX:
            raise errors.TooLarge("the picture", BYTES_MAX)
    if response.length:
        raise TemporaryFailure(f"cut off {response.length:,} bytes before the end")
    return bytes(body)


def _seconds(retry_after: str | None) -> float | None:
    # A date is left out: hosts of pictures send numbers.
    seconds = (retry_after or "").strip()
    return float(seconds[:6]) if seconds.isascii() and seconds.isdigit() else None
