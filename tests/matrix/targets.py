"""What is asked of every cell of the matrix: request targets, methods and frames, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.matrix import http2

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
OWN, LURED = b"Sec-Fetch-Site: same-origin\r\n", b"Sec-Fetch-Site: cross-site\r\n"

# Junk that may stand where the tokens would.
HEADER_ONLY = b"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
JUNK = (
    b"token=junk; refreshToken=junk",
    b"token=" + HEADER_ONLY + b".eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9.",
    b"token=a.b.c; token=d.e.f",
    b"=; ;;token; =token; refreshToken==",
    b'token="quoted"; refreshToken="' + b"x" * 3000 + b'"',
    b"Token=x; TOKEN=y; __Host-token=z",
    b"token=\xff\xfe\x80",
)


@dataclass(frozen=True, slots=True)
class Knock:
    """One way to ask. `whole` stands in place of everything that the others would make up, and so
    do `fields`, in HTTP/2. `site` says whose page it comes from."""

    target: bytes
    method: bytes = b"GET"
    version: bytes = b"HTTP/1.1"
    headers: bytes = HOST
    whole: bytes = b""
    fields: http2.Fields = ()
    site: bytes = OWN
    name: str = ""
    reaches: bool = False  # a plain one, that is answered to whoever is signed in

    @property
    def told(self) -> str:
        shown = self.target if len(self.target) < 60 else self.target[:40] + b"..."
        return self.name or f"{ascii(self.method.decode())[1:-1]} {shown.decode('latin-1')!a}"

    def sent(self, cookie: bytes = b"") -> bytes:
        line = b"Cookie: " + cookie + b"\r\n" if cookie else b""
        if self.fields:
            said = [(b"sec-fetch-site", b"same-origin"), *[(b"cookie", cookie)][: len(cookie)]]
            return http2.asked((*self.fields, *said), is_open=self.is_socket)
        if self.whole:
            return self.whole.replace(b"COOKIE\r\n", line + self.site)
        start = b" ".join((self.method, self.target, self.version)) + b"\r\n"
        close = b"" if self.is_socket else CLOSE
        return start + self.headers + line + self.site + close + b"\r\n"

    @property
    def is_socket(self) -> bool:
        return b"Upgrade: websocket" in self.headers or (b":protocol", b"websocket") in self.fields


def plain_fields(path: bytes, method: bytes = b"GET") -> http2.Fields:
    """Of a request in HTTP/2 as it should be."""
    return (
        *((b":method", method), (b":scheme", b"http")),
        *((b":authority", b"localhost"), (b":path", path)),
    )


PLAIN = (
    *(b"/admin", b"/admin/panel", b"/slash/", b"/any/thing", b"/any/x/y/z", b"/item/x"),
    *(b"/mounted/admin", b"/files/secret.txt", b"/admin?next=/open/page"),
)

TARGETS = (
    # Beside a public path, and at its edges (P-07, P-08)
    *rb"""
/openly /open. /open-admin /openadmin /admin/ /slash /any /any/ /mounted /mounted/ /mounted/admin/
/admin/panel/ /mounted/inner/x /admin? /admin?/../open /admin?x=%2e%2e/open/page /admin#/open/page
/files/ /files/secret.txt/ /files/secret.txt?.css /item/x.css /item/%2e
""".split(),
    # Encoded letters, separators and controls, once and twice (P-04, P-06)
    *rb"""
/%61dmin /adm%69n /%61%64%6d%69%6e /%2561dmin /%252561dmin /%2fadmin /admin%2f /admin%2Fpanel
/open%2fpage /open%2f..%2fadmin /open/%2e%2e/admin /open/.%2e/admin /open/%2e./admin
/open/..%2fadmin /open/%252e%252e/admin /open/..%252fadmin /open/..%5cadmin /open/%2e%2e%2fadmin
/admin%00 /admin%0a /admin%0d /admin%0d%0aX:%20y /admin%20 /%20admin /admin%09 /admin%3f /admin%23
/admin%c2%a0 /admin%c2%85 /admin%ef%bb%bf /%ef%bb%bfadmin /admin%c2%ad
/admin%5c /admin%3b /admin%7f /admin%85 /open%00/../admin /open/page%00 /open/page%0a /open%0a
/open/%00../admin /open/.%00./admin /open/%2e%2e%5cadmin /open/..%3b/admin /%c0%afadmin
/%e0%80%afadmin /%f0%80%80%afadmin /open/%e0%80%ae%e0%80%ae/admin /open/%ed%a0%80/../admin
/open/%fe%80%80%80%80%80%ae./admin
/open/%c0%ae%c0%ae/admin /admin%ff /admin%e2%80%8b /%ef%bc%8fadmin
/%ef%bd%81dmin /admin%e2%80%a8 /%u0061dmin /admin% /admin%2 /admin%0bpanel /item/%2fx /any/%2e%2e
""".split(),
    # Empty segments (P-05)
    *rb"""
//admin ///admin /admin//panel //open//admin /open//admin /open//../admin //open/page
//localhost/admin /any//x /mounted//admin //files//secret.txt
""".split(),
    # Dot segments (P-05)
    *rb"""
/./admin /open/../admin /open/./../admin /open/page/../../admin /admin/. /admin/.. /../admin
/open/.. /open/.../admin /open/..;/admin /any/../admin /static/../closed/secret.txt
/static/%2e%2e/closed/secret.txt /static/..%2fclosed%2fsecret.txt /static/..%5cclosed%5csecret.txt
/static/../../files/closed/secret.txt /static//../closed/secret.txt /open/..%00/admin
/open/../../../../admin /mounted/../admin /./open/../admin /%2e/admin /%2e%2e/admin
/open/.%0a./admin
""".split(),
    # Parameters of segments (P-05)
    *rb"""
/admin;x=1 /admin; /admin;/panel /;/admin /open;/../admin /open;x/admin /open/x;/../../admin
/open/;/admin /any;x/y /.;/admin /open/.;/admin /open/..;x=1/admin
/open/%2e%2e;/admin /open;%2fadmin
""".split(),
    # Backslashes (P-04)
    *rb"""
\admin /\admin /open\..\admin /open/..\admin \\admin /admin\
""".split(),
    # Case (P-09)
    *rb"""
/ADMIN /Admin /OPEN/../ADMIN /Open/page /FILES/secret.txt /files/SECRET.TXT
""".split(),
    # Not a path at all (P-03)
    *rb"""
http://localhost/admin http://evil.example/open/page HTTP://localhost/admin
http://localhost/open/../admin http:/admin http:admin http://localhost https://localhost:0/admin
http://open@localhost/admin http://localhost@evil.example/admin http://localhost:80:80/admin
http:///admin http://localhost?/admin http://localhost#/open/page http://localhost\open/../admin
file:///admin javascript:admin http://[::1/admin @admin @localhost/admin /@/admin localhost/admin
admin open/page * ? ?/open/page # .. ../admin . :admin admin:80 ~/admin
""".split(),
    *(
        b"/admin\xc3\xa9",
        b"/adm\xc4\xb1n",
        b"/\xffadmin",
        b"/open/\xc0\xae\xc0\xae/admin",
        b"/open\xc0\xaf../admin",
        b"",
    ),
)

METHODS = (
    *b"HEAD OPTIONS POST PUT PATCH DELETE TRACE QUERY PROPFIND ACL LOCK M-SEARCH PRI FOO".split(),
    *b"get post gEt head GETGET __CLASS__ !#$%&'*+.^_`|~".split(),
    *(b"", b"G" * 300, b"G\xc3\x89T", b"GET\x00"),
)

# What may not switch anything off, or name another path (P-02, P-16).
HEADERS = (
    *b"""
X-Original-URL: /open/page
X-Rewrite-URL: /open/page
X-Forwarded-Uri: /open/page
X-Forwarded-Prefix: /open
X-Forwarded-Path: /open/page
X-Script-Name: /open
X-Forwarded-Host: localhost/open/page?
Forwarded: host=localhost/open;proto=https
X-Middleware-Subrequest: middleware:middleware:middleware
X-Authkit-User: ada
X-HTTP-Method-Override: OPTIONS
X-Method-Override: HEAD
X-User: ada
Authorization: Bearer junk
Authorization: Basic YWRhOmFkYQ==
X_User_Id: ada
X-Requested-With: x
X-Forwarded-For: 127.0.0.1
Sec-Purpose: prefetch
Accept: text/html
HX-Request: true
Expect: 100-continue
Purpose: prefetch
Sec-Fetch-Mode: navigate
Range: bytes=0-3
Via: 1.1 localhost
Connection: cookie
Transfer_Encoding: chunked
Content_Length: 4
HTTP_COOKIE: token=x
X-Forwarded-Path-Info: /open/page
X-Envoy-Original-Path: /open/page
Destination: /open/page
""".strip().splitlines(),
    b"Origin: http://localhost\r\nAccess-Control-Request-Method: GET",
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Upgrade: tunnel\r\nConnection: upgrade",
    b"Cookie: token=x\r\ncOOKIE: refreshToken=y",
)

HOSTS = (
    *(b"", b"Host: \r\n", b"Host: evil.example\r\n", b"Host: localhost/open/page?x=\r\n"),
    *(b"Host: localhost\r\nHost: evil.example\r\n", b"Host: a\r\nhost: a\r\n", b"Host: @\r\n"),
    *(b"Host: localhost/open/page#\r\n", b"Host: [::1\r\n", b"Host: localhost:99999\r\n"),
)

VERSIONS = (
    b"HTTP/1.0",
    b"http/1.1",
    b"HTTP/1.2",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"",
    b"ICY",
)

# The root path of a mount or of a proxy (P-10): a path with it, without it, with it elsewhere.
ROOTED = tuple(
    (root, target)
    for root, *targets in map(
        bytes.split,
        rb"""
/rooted /rooted/admin /admin /rootedadmin /rooted//admin /rooted/open/../admin
/rooted /rooted/rooted/admin /rooted /rooted/ /open/rooted/admin
/pub /pub/admin /pubadmin /pub/any/x /pub/files/secret.txt /pub/mounted/admin
/pub /pub//admin /open/x/pub/admin
/pub/ /pub/admin
/pub/x /pub/x/admin
/open /open/admin /open/item/x /openadmin /open/open/page
/ /admin
pub /pub/admin
/x /open/xadmin
/admin /admin /admin/open
/static /static/files/secret.txt
/%70ub /pub/admin
/PUB /pub/admin
""".strip().splitlines(),
    )
    for target in targets
)

OPEN = b"GET /open/page HTTP/1.1\r\nHost: localhost\r\n\r\n"
ADMIN = b"GET /admin HTTP/1.1\r\nHost: localhost\r\nCOOKIE\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST /open/page HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
UPGRADED = b"GET TARGET HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
UPGRADED += b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
POSTED = b"POST /open/page HTTP/1.1\r\nHost: localhost\r\n"

# Several requests in one go, requests in bodies, and what two parsers cut in two ways.
STREAMS = {
    "pipelined: public, then protected": OPEN + ADMIN,
    "pipelined: 20 public, then protected": OPEN * 20 + ADMIN,
    "pipelined: HEAD, then protected": OPEN.replace(b"GET", b"HEAD") + ADMIN,
    "a request in a body": POSTED + b"Content-Length: %d\r\n\r\n" % len(ADMIN) + ADMIN,
    "a chunked body, then protected": CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n" + ADMIN,
    "Transfer-Encoding and Content-Length": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + ADMIN,
    "two Content-Lengths": POSTED + b"Content-Length: 0\r\nContent-Length: 9\r\n\r\n" + ADMIN,
    "a negative Content-Length": POSTED + b"Content-Length: -1\r\n\r\n" + ADMIN,
    "Content-Length: +0": POSTED + b"Content-Length: +0\r\n\r\n" + ADMIN,
    "Transfer-Encoding: xchunked": CHUNKED.replace(b": chunked", b": xchunked") + b"\r\n" + ADMIN,
    "a space before a colon": POSTED + b"Content-Length : 9\r\n\r\n" + ADMIN,
    "a folded header": b"GET /admin HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nCOOKIE\r\n"
    b"Connection: close\r\n\r\n",
    "a header that holds NUL": b"GET /admin HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\nCOOKIE\r\n"
    b"Connection: close\r\n\r\n",
    "a header without a name": b"GET /admin HTTP/1.1\r\nHost: localhost\r\n: x\r\nCOOKIE\r\n"
    b"Connection: close\r\n\r\n",
    "line feeds alone": ADMIN.replace(b"COOKIE\r\n", b"").replace(b"\r\n", b"\n"),
    "carriage returns alone": b"GET /admin HTTP/1.1\rHost: localhost\rConnection: close\r\r",
    "two spaces": ADMIN.replace(b"GET /", b"GET  /"),
    "a tab": ADMIN.replace(b"GET /", b"GET\t/"),
    "a space in the target": ADMIN.replace(b"/admin", b"/open/page /admin"),
    "a control in the target": ADMIN.replace(b"/admin", b"/admin\x01"),
    "NUL in the target": ADMIN.replace(b"/admin", b"/admin\x00"),
    "CR in the target": ADMIN.replace(b"/admin", b"/open\r/admin"),
    "a blank line first": b"\r\n\r\n" + ADMIN,
    "HTTP/0.9": b"GET /admin\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nCOOKIE\r\n\r\n",
    "CONNECT a path": b"CONNECT /admin HTTP/1.1\r\nHost: localhost\r\nCOOKIE\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.0 without Host": b"GET /admin HTTP/1.0\r\nCOOKIE\r\n\r\n",
    "HTTP/1.0, pipelined": OPEN.replace(b"1.1", b"1.0") + ADMIN.replace(b"1.1", b"1.0"),
    "HTTP/1.0, chunked": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n" + ADMIN,
    "GET with a chunked body": CHUNKED.replace(b"POST", b"GET") + b"\r\n0\r\n\r\n" + ADMIN,
    "FOO with a chunked body": CHUNKED.replace(b"POST", b"FOO") + b"\r\n0\r\n\r\n" + ADMIN,
    "HEAD with a chunked body": CHUNKED.replace(b"POST", b"HEAD") + b"\r\n0\r\n\r\n" + ADMIN,
    "cookies in the trailers": CHUNKED.replace(b"/open/page", b"/admin")
    + b"Trailer: Cookie\r\n\r\n0\r\nCOOKIE\r\n\r\n",
    "a chunk of a negative size": CHUNKED + b"\r\n-1\r\n\r\n" + ADMIN,
    "a chunk's extension with a line feed": CHUNKED + b"\r\n0;\n\r\n\r\n" + ADMIN,
    "an upgrade to HTTP/2": UPGRADED.replace(b"TARGET", b"/admin"),
    "an upgrade to HTTP/2, then protected": UPGRADED.replace(b"TARGET", b"/open/page")
    + http2.asked(plain_fields(b"/admin"), stream=3),
    "an upgrade refused, then protected": OPEN.replace(b"\r\n\r\n", b"\r\nUpgrade: x\r\n\r\n")
    + ADMIN,
    "two lines of cookies": b"GET /admin HTTP/1.1\r\nHost: localhost\r\nCookie: token=x\r\n"
    b"Cookie: refreshToken=y\r\nCOOKIE\r\nConnection: close\r\n\r\n",
}  # fmt: skip

# Over-long ones, by name.
LONG = {
    "a path of 3,000 letters": b"/admin" + b"a" * 3000,
    "a path of 70,000 letters": b"/admin/" + b"a" * 70_000,
    "2,000 dot segments": b"/open/" + b"../" * 2000 + b"admin",
    "3,000 slashes": b"/" * 3000 + b"admin",
    "a query of 20,000 letters": b"/admin?" + b"x" * 20_000,
    "1,000 parameters": b"/admin" + b";x=y" * 1000,
    "encoded 900 times": b"/%" + b"25" * 900 + b"61dmin",
    "500 segments below any": b"/any" + b"/x" * 500,
}


def knocks() -> Iterator[Knock]:
    for target in PLAIN:
        yield Knock(target, reaches=True)
    for target in TARGETS:
        yield Knock(target)
    for method in METHODS:
        yield Knock(b"/admin", method=method)
    for method in (b"OPTIONS", b"HEAD", b"FOO"):
        yield Knock(b"*", method=method)
    for header in HEADERS:
        name = f"/admin with {header[:40].decode()!r}"
        yield Knock(b"/admin", headers=HOST + header + b"\r\n", name=name)
    for host in HOSTS:
        yield Knock(b"/admin", headers=host, name=f"/admin with {host.decode()!r}")
    for version in VERSIONS:
        yield Knock(b"/admin", version=version, name=f"/admin {version.decode()!r}")
    for root, target in ROOTED:
        headers = HOST + b"X-Matrix-Root: " + root + b"\r\n"
        name = f"{target.decode()} with root_path {root.decode()}"
        yield Knock(target, headers=headers, name=name)
    for name, target in LONG.items():
        yield Knock(target, name=name)
    for name, whole in STREAMS.items():
        yield Knock(b"", whole=whole, name=name)


KNOCKS: Sequence[Knock] = tuple(knocks())

UPGRADE = (
    HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

SOCKET_TARGETS = (
    *rb"""
/ws/ //ws /open/../ws /open/%2e%2e/ws /open/..%2fws /%77s /%2577s /ws%00 /ws%0a /ws;x=1 /WS /./ws
\ws /open\..\ws ws * http://localhost/ws http://evil.example/open/ws @ws /ws?x=/open/ws /ws#open
/open/ws/../../ws //localhost/ws /ws%20 /ws%ff /mounted//ws /openws /open//ws /mounted/../ws
/any/ws /admin /%2fws /open/..;/ws
""".split(),
    *(b"",),
)


def socket_knocks() -> Iterator[Knock]:
    own = UPGRADE + b"Origin: http://localhost:8000\r\n"
    for target in (b"/ws", b"/mounted/ws"):
        yield Knock(target, headers=own, reaches=True, name=f"WebSocket {target.decode()}")
    for target in SOCKET_TARGETS:
        yield Knock(target, headers=own, name=f"WebSocket {target.decode()!a}")
    for root, target in ROOTED:
        target = target.replace(b"admin", b"ws")
        headers = own + b"X-Matrix-Root: " + root + b"\r\n"
        name = f"WebSocket {target.decode()} with root_path {root.decode()}"
        yield Knock(target, headers=headers, name=name)
    for method in (b"POST", b"get", b"OPTIONS", b"CONNECT", b"FOO"):
        yield Knock(b"/ws", method=method, headers=own, name=f"WebSocket by {method.decode()}")
    for line in own.removeprefix(HOST).splitlines(keepends=True):
        if b"Upgrade: websocket" not in line:
            name = f"WebSocket without {line.split(b':')[0].decode()}"
            yield Knock(b"/ws", headers=own.replace(line, b""), name=name)
    for line in (
        b"Sec-WebSocket-Version: 8\r\n",
        b"Origin: null\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ):
        name = f"WebSocket with {line.strip().decode()}"
        yield Knock(b"/ws", headers=own + line, name=name)
    yield Knock(b"/ws", version=b"HTTP/1.0", headers=own, name="WebSocket by HTTP/1.0")


SOCKET_KNOCKS: Sequence[Knock] = tuple(socket_knocks())

# What a page of another site makes a browser send, with the cookies of whoever is signed in (P-14,
# Django calls its view for `post`, too; Hypercorn makes GET of `get`.
ELSEWHERE = (
    *(b"https://evil.example", b"null", b"http://localhost", b"http://localhost:8000.evil"),
    *(b"http://localhost:8000/", b"http://LOCALHOST:8000", b""),
)


def lured_knocks() -> Iterator[Knock]:
    for method in METHODS:
        if method.upper() not in (b"", b"GET", b"HEAD", b"OPTIONS"):
            for site in (LURED, b"Sec-Fetch-Site: same-site\r\n", b"Origin: null\r\n"):
                name = f"{method.decode('latin-1')[:20]!a} with {site.strip().decode()}"
                yield Knock(b"/admin", method=method, site=site, name=name)
    for target in PLAIN[1:]:
        yield Knock(target, method=b"POST", site=LURED, name=f"POST {target.decode()}, lured")
    for origin in ELSEWHERE:
        headers = UPGRADE + (b"Origin: " + origin + b"\r\n" if origin else b"")
        for target in (b"/ws", b"/mounted/ws", b"/open/ws"):
            name = f"WebSocket {target.decode()} from {origin.decode()!r}"
            yield Knock(target, headers=headers, site=LURED, name=name)


LURED_KNOCKS: Sequence[Knock] = tuple(lured_knocks())


FIELDS = plain_fields(b"/admin")
OPEN_FIELDS = plain_fields(b"/open/page")

# What HTTP/1.1 has no word for: pseudo-headers that are missing, doubled, late or made up, and
# what the versions in between spell in another way.
FIELDS_OF: dict[str, http2.Fields] = {
    "a second :path that is public": (*FIELDS, (b":path", b"/open/page")),
    "a second :path that is protected": (*OPEN_FIELDS, (b":path", b"/admin")),
    ":path behind a header": (*OPEN_FIELDS[:3], (b"x", b"y"), (b":path", b"/admin")),
    "no :path": FIELDS[:3],
    "no :authority": (*FIELDS[:2], *FIELDS[3:]),
    "no :scheme": (FIELDS[0], *FIELDS[2:]),
    "no :method": FIELDS[1:],
    "a second :method": (*FIELDS, (b":method", b"OPTIONS")),
    "a pseudo-header of no meaning": (*FIELDS, (b":user", b"ada")),
    "another scheme": (FIELDS[0], (b":scheme", b"file"), *FIELDS[2:]),
    "a scheme with a path": (FIELDS[0], (b":scheme", b"http://localhost/open/page?"), *FIELDS[2:]),
    "a path in :authority": (*FIELDS[:2], (b":authority", b"localhost/open/page?"), FIELDS[3]),
    "userinfo in :authority": (*FIELDS[:2], (b":authority", b"open@localhost"), FIELDS[3]),
    "an empty :authority": (*FIELDS[:2], (b":authority", b""), FIELDS[3]),
    "another Host": (*FIELDS, (b"host", b"evil.example")),
    "two Hosts": (*FIELDS, (b"host", b"localhost"), (b"host", b"evil.example")),
    "a name in upper case": (*FIELDS, (b"X-Original-URL", b"/open/page")),
    "X-Original-URL": (*FIELDS, (b"x-original-url", b"/open/page")),
    "a line in a value": (*FIELDS, (b"x", b"a\r\ncookie: token=x")),
    "a request in a value": (*FIELDS, (b"x", b"a\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")),
    "a line in a name": (*FIELDS, (b"x\r\ny", b"z")),
    "NUL in a value": (*FIELDS, (b"x", b"\x00")),
    "a line in the method": ((b":method", b"GET /admin HTTP/1.1\r\nx: "), *OPEN_FIELDS[1:]),
    "Connection": (*FIELDS, (b"connection", b"upgrade"), (b"upgrade", b"h2c")),
    "Transfer-Encoding": (*FIELDS, (b"transfer-encoding", b"chunked")),
    "a Content-Length of what does not come": (*FIELDS, (b"content-length", b"9")),
    "cookies in many fields": (*FIELDS, *[(b"cookie", b"a=%d" % one) for one in range(9)]),
    "CONNECT": ((b":method", b"CONNECT"), (b":authority", b"localhost")),
    "CONNECT with a path": ((b":method", b"CONNECT"), *FIELDS[1:]),
    "CONNECT by a protocol of no meaning": (
        (b":method", b"CONNECT"),
        (b":protocol", b"tunnel"),
        *FIELDS[1:],
    ),
}


def socket_fields(path: bytes) -> http2.Fields:
    """Of a handshake in HTTP/2 (RFC 8441)."""
    return (
        *((b":method", b"CONNECT"), (b":protocol", b"websocket"), *plain_fields(path)[1:]),
        *((b"sec-websocket-version", b"13"), (b"origin", b"http://localhost:8000")),
    )


def http2_knocks() -> Iterator[Knock]:
    def knock(fields: http2.Fields, name: str, *, reaches: bool = False) -> Knock:
        return Knock(b"", fields=fields, name=f"HTTP/2 {name}", reaches=reaches)

    for target in PLAIN:
        yield knock(plain_fields(target), target.decode(), reaches=True)
    for target in (*TARGETS, b"/open/page /admin", b"/admin\x00", b"/open\r\n/../admin"):
        yield knock(plain_fields(target), f"{target.decode('latin-1')!a}")
    for method in METHODS:
        name = f"{method[:40].decode('latin-1')!a} /admin"
        yield knock(plain_fields(b"/admin", method), name)
    for root, target in ROOTED:
        name = f"{target.decode()} with root_path {root.decode()}"
        yield knock((*plain_fields(target), (b"x-matrix-root", root)), name)
    for name, target in LONG.items():
        yield knock(plain_fields(target), name)
    for name, fields in FIELDS_OF.items():
        yield knock(fields, name)
    for target in (b"/ws", b"/mounted/ws", *SOCKET_TARGETS):
        yield knock(socket_fields(target), f"WebSocket {target.decode()!a}")


HTTP2_KNOCKS: Sequence[Knock] = tuple(http2_knocks())
