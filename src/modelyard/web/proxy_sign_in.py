"""Signing in by a reverse proxy, which knows who a person is and says so in headers.

    Remote-User: anna          who it is
    Remote-Groups: artists     the groups, separated by commas or by ``|``

Any client can send these headers. They count only on a connection from ``proxy_networks``, whatever ``X-Forwarded-For``
says, and only once: a header that stands twice has a value of the client beside that of the proxy.
"""

from modelyard import errors
from modelyard.auth import ActiveKey, Person
from modelyard.web.client_address import TrustedProxies
from modelyard.web.requests import Request
from modelyard.web.team_rules import choose_team, parse_rules

NAME_CHARS_MAX = 100
_HEADER_BYTES_MAX = 16_384


class ProxySignIn:
    """Finds the person whom a proxy names. Without networks nobody is named."""

    def __init__(self, user_header: str, groups_header: str, networks: str, teams: str) -> None:
        """Take the settings. Raises ConfigurationError if they do not fit together."""
        if networks and not teams:
            raise errors.ConfigurationError(
                "proxy_networks is set and proxy_teams is empty, so nobody could sign in by the proxy; "
                "set proxy_teams, such as: artists studio read+write"
            )
        if teams and not networks:
            raise errors.ConfigurationError(
                "proxy_teams is set and proxy_networks is empty, so the headers of the proxy are ignored; "
                "set proxy_networks to the network of the proxy, such as 10.1.0.0/16"
            )
        if user_header.lower() == groups_header.lower():
            raise errors.ConfigurationError("proxy_user_header and proxy_groups_header are the same header")
        self._user_header = user_header.lower().encode()
        self._groups_header = groups_header.lower().encode()
        self._networks = TrustedProxies(networks)
        self._rules = parse_rules(teams)

    def names_person(self, request: Request) -> bool:
        """Whether a proxy of the networks says who sends the request."""
        return (
            bool(self._networks)
            and self._user_header in request.headers
            and self._networks.contains(request.peer_address)
        )

    def person_of(self, request: Request) -> Person | None:
        """Return the person whom the proxy names; None if it names nobody. Raises SignInRefused."""
        if not self.names_person(request):
            return None
        name = self._read(request, self._user_header)
        if not name:
            return None
        if not name.isprintable() or len(name) > NAME_CHARS_MAX:
            raise errors.SignInRefused(
                f"the proxy sends a name that is not accepted; accepted: up to {NAME_CHARS_MAX} characters in one line"
            )
        text = self._read(request, self._groups_header)
        # A name of a group may have the other separator.
        groups = text.split("," if "," in text else "|")
        team, scopes = choose_team(self._rules, name, {group.strip() for group in groups} - {""})
        # Some proxies pass the name as it was typed: in other letters it is the same person.
        return Person("proxy", name.casefold(), name, team, scopes)

    def is_silent(self, request: Request, *, is_page: bool) -> bool:
        """Whether a request lacks the header that it needs. A page needs it.

        A request to the API does not: the proxy may let programs with keys pass.
        """
        return is_page and not (self.names_person(request) and request.headers[self._user_header].strip())

    def contradicts(self, request: Request, key: ActiveKey) -> bool:
        """Whether the proxy names another person than the one of ``key``, or the same person with other groups."""
        try:
            person = self.person_of(request)
        except errors.SignInRefused:
            return True
        return person is not None and not person.is_described_by(key)

    def _read(self, request: Request, header: bytes) -> str:
        values = [value for name, value in request.scope["headers"] if name == header]
        if len(values) > 1 or len(b"".join(values)) > _HEADER_BYTES_MAX:
            raise errors.SignInRefused(
                f"the header {header.decode()} arrived more than once or is too long; the proxy has to replace "
                "what clients send"
            )
        try:
            return b"".join(values).decode().strip()
        except UnicodeDecodeError:
            raise errors.SignInRefused(f"the header {header.decode()} is not UTF-8") from None
