"""Status and all headers of answers for a table of requests, so that a header that is lost or changed is seen.

A line of the table begins with ``>`` and has a method, a target, and headers; below it are the status, whether there
is a body, and the headers, each with what differs from run to run replaced.
"""

import re
from collections.abc import Iterator

import pytest

from modelyard.domain import Scope
from tests.app_fixture import App, a_model, a_private, open_app
from tests.web.pages.test_pages import signed_in

OWN = 1_000_000_001
_REPLACEMENTS = (
    (r'"[0-9a-f]{30}(-gzip)?"', r'"TAG\1"'),
    (r"x-request-id: [0-9a-f]{16}$", "x-request-id: NUMBER"),
    (r"(modelyard_session)=[\w.-]+", r"\1=…"),
    (r"content-length: \d+", "content-length: N"),
    (r"\?v=[0-9a-f]{16}", "?v=DIGEST"),
)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Thirty public models and a private one of the team red."""
    with open_app(tmp_path_factory.mktemp("headers"), clock=lambda: 1_700_000_000) as yard:
        yard.put(*(a_model(number, name=f"night {number}") for number in range(1, 31)), a_private(OWN, "red"))
        yield yard


def describe(yard: App, line: str) -> str:
    """Return a line of the table with the answer to its request."""
    method, target, *words = line.removeprefix("> ").split(" ")
    headers = {name: value.replace("_", " ") for name, value in (word.split("=", 1) for word in words)}
    team = headers.pop("team", None)
    if team == "session":
        headers["cookie"] = signed_in(yard).cookie
    elif team is not None:
        name, _, scopes = team.partition("+")
        headers["authorization"] = f"Bearer {yard.key(name, *map(Scope, scopes.split('+') if scopes else []))}"
    body = headers.pop("body", "").encode()
    if body:
        headers.setdefault("content-length", str(len(body)))
    reply = yard.ask(target, None, method=method, body=body, **headers)
    shown = [f"{reply.status}, {'a' if reply.body else 'no'} body"]
    shown += [f"without {name}" for name, value in sorted(_COMMON.items()) if reply.headers.get(name) != value]
    shown += [
        f"{name}: {value}"
        for name, value in sorted(reply.headers.items())
        if name not in _LONG and _COMMON.get(name) != value
    ]
    if reply.body and method != "HEAD" and "content-length" in reply.headers:
        assert len(reply.body) == int(reply.headers["content-length"])
    for pattern, replacement in _REPLACEMENTS:
        shown = [re.sub(pattern, replacement, part) for part in shown]
    return "\n".join([line, *(f"  {part}" for part in shown)])


# Their whole text is tested elsewhere (tests/web/test_guards.py).
_LONG = {"content-security-policy", "access-control-expose-headers", "access-control-allow-headers"}
# Every answer has these; the table names those that lack one.
_COMMON = {"x-content-type-options": "nosniff", "access-control-allow-origin": "*"}
ANSWERS = """
> GET /v3/model team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> HEAD /v3/model team=red
  200, no body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model/ team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET //v3//model team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=gzip
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model?pagination.limit=1 team=red accept-encoding=gzip
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=br,gzip;q=0
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=gzip;q=0.5,identity;q=0.6
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=gzip;q=0.5,identity;q=0.5
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=*
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=x-gzip
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=GZIP;q=1.000
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red accept-encoding=gzip;q=2
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red if-none-match=*
  304, no body
  cache-control: private, no-cache
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red if-none-match="nothing"
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red prefer=count=exact
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  modelyard-total: 31
  preference-applied: count=exact
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red prefer=handling=strict
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  preference-applied: handling=strict
  vary: Authorization, Accept-Encoding
> GET /v3/model?x=1 team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-ignored-parameters: x
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model?x=1 team=red prefer=handling=strict
  400, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /v3/model?filter.query=nigth team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  modelyard-suggestion: night
  vary: Authorization, Accept-Encoding
> GET /v3/model?filter.types=none team=red
  400, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /v3/model
  401, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  www-authenticate: Bearer
  x-request-id: NUMBER
> GET /v3/model authorization=Bearer_nothing
  401, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  www-authenticate: Bearer
  x-request-id: NUMBER
> GET /v3/model team=red+write
  403, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /v3/model team=red origin=https://a.example
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red x-request-id=mine-1
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red modelyard-min-revision=1
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red modelyard-min-revision=x
  400, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> OPTIONS /v3/model origin=https://a.example
  204, no body
  access-control-allow-methods: GET, POST, PATCH, DELETE, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, POST, PATCH, DELETE, HEAD, OPTIONS
> OPTIONS /v3/model/details
  204, no body
  access-control-allow-methods: GET, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, HEAD, OPTIONS
> OPTIONS /v3/model/uploader
  204, no body
  access-control-allow-methods: POST, OPTIONS
  access-control-max-age: 86400
  allow: POST, OPTIONS
> OPTIONS /v3/model/cover
  204, no body
  access-control-allow-methods: PUT, DELETE, OPTIONS
  access-control-max-age: 86400
  allow: PUT, DELETE, OPTIONS
> OPTIONS /v3/metadata
  204, no body
  access-control-allow-methods: GET, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, HEAD, OPTIONS
> OPTIONS /v3/uploads
  204, no body
  access-control-allow-methods: POST, HEAD, PATCH, DELETE, OPTIONS
  access-control-max-age: 86400
  cache-control: no-store
  tus-checksum-algorithm: sha256,sha1
  tus-extension: creation,creation-with-upload,termination,checksum,expiration,concatenation
  tus-max-size: 100000000000
  tus-resumable: 1.0.0
  tus-version: 1.0.0
> OPTIONS /metrics
  204, no body
  access-control-allow-methods: GET, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, HEAD, OPTIONS
> OPTIONS /
  204, no body
  access-control-allow-methods: GET, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, HEAD, OPTIONS
> OPTIONS /keys
  204, no body
  access-control-allow-methods: GET, POST, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, POST, HEAD, OPTIONS
> OPTIONS /models/1/edit
  204, no body
  access-control-allow-methods: GET, POST, HEAD, OPTIONS
  access-control-max-age: 86400
  allow: GET, POST, HEAD, OPTIONS
> OPTIONS /nothing
  404, a body
  access-control-max-age: 86400
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> DELETE /healthz
  405, a body
  allow: GET, HEAD, OPTIONS
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> BREW /v3/model team=red
  405, a body
  allow: GET, POST, PATCH, DELETE, HEAD, OPTIONS
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /v3/model/details?id=1 team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model/facets team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/metadata team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/user team=red
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  vary: Authorization, Accept-Encoding
> PATCH /v3/model team=red+read+write content-type=application/json body={"id":1000000001,"name":"mine"}
  400, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> PATCH /v3/model team=red content-type=application/json body={"id":1000000001,"name":"mine"}
  403, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> PATCH /v3/model team=red+read+write content-type=application/json body={
  400, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> DELETE /v3/model?id=5 team=red+read+write
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /healthz
  200, a body
  cache-control: no-store
  content-length: N
  content-type: application/json
  etag: "TAG"
> GET /readyz
  503, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  retry-after: 1
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /metrics
  200, a body
  cache-control: no-store
  content-length: N
  content-type: text/plain; version=1.0.0; charset=utf-8
  etag: "TAG"
> GET /metrics team=red+admin
  200, a body
  cache-control: no-store
  content-length: N
  content-type: text/plain; version=1.0.0; charset=utf-8
  etag: "TAG"
> GET /openapi.json
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  vary: Authorization, Accept-Encoding
> GET /openapi.json accept-encoding=gzip
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: application/json
  etag: "TAG-gzip"
  vary: Authorization, Accept-Encoding
> GET /static/page.css
  200, a body
  cache-control: public, no-cache
  content-length: N
  content-type: text/css; charset=utf-8
  etag: "TAG"
  vary: Accept-Encoding
> GET /static/page.css?v=nothing
  200, a body
  cache-control: public, no-cache
  content-length: N
  content-type: text/css; charset=utf-8
  etag: "TAG"
  vary: Accept-Encoding
> GET /static/icon.svg
  200, a body
  cache-control: public, no-cache
  content-length: N
  content-type: image/svg+xml
  etag: "TAG"
  vary: Accept-Encoding
> GET /static/page.js
  200, a body
  cache-control: public, no-cache
  content-length: N
  content-type: text/javascript; charset=utf-8
  etag: "TAG"
  vary: Accept-Encoding
> GET /static/nothing
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /covers/x/640
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /files/x/y
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /nothing
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET /nothing x-request-id=mine-2
  404, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  vary: Authorization, Accept-Encoding
  x-request-id: NUMBER
> GET / team=session
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET / team=session accept-encoding=gzip
  200, a body
  cache-control: private, no-cache
  content-encoding: gzip
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG-gzip"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /parts/results team=session
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /models/1 team=session
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /models/0 team=session
  404, a body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  referrer-policy: same-origin
  x-request-id: NUMBER
> GET /keys team=session
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /status team=session
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /docs
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /sign-in
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  etag: "TAG"
  referrer-policy: same-origin
  vary: Cookie, Accept-Encoding
> GET /
  303, no body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  location: /sign-in
> POST /keys team=session
  403, a body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  referrer-policy: same-origin
  x-request-id: NUMBER
> POST /sign-in body=key=nothing
  401, a body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  cross-origin-opener-policy: same-origin
  referrer-policy: same-origin
  x-request-id: NUMBER
> POST /preferences body=nsfw=shown&to=/docs
  303, no body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  location: /docs
  set-cookie: modelyard_nsfw=shown; Path=/; Max-Age=31622400; HttpOnly; SameSite=Lax
> POST /sign-out team=session
  303, no body
  cache-control: no-store
  content-length: N
  content-type: text/html; charset=utf-8
  location: /
  set-cookie: modelyard_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax
> GET /v3/model team=red host=a/b
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
> GET /v3/model team=red host=
  200, a body
  cache-control: private, no-cache
  content-length: N
  content-type: application/json
  etag: "TAG"
  modelyard-revision: 1
  vary: Authorization, Accept-Encoding
"""


def test_each_request_is_answered_with_this_status_and_these_headers(yard: App) -> None:
    requests = [line for line in ANSWERS.split("\n") if line.startswith("> ")]

    assert ANSWERS.strip() == "\n".join(describe(yard, line) for line in requests)
