"""Who may ask the page what, and the headers of every answer.

A page on this machine can be reached through the browser of whoever sits at it: a stranger's site may name it by a
host of its own (rebinding), or post to it. So the name asked for, and the origin that asks, are both checked; nothing
is changed without a token; and the page runs no script, style or picture but its own.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
FAILURES_MAX = 10
"""Wrong tokens in a window; then none is looked at, right or wrong."""
WINDOW_S = 60.0
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # no string becomes markup, whatever a script were brought to do
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Server": "keeper",
}


def guarded(hosts: Collection[str]) -> Middleware:
    """Refuse foreign names and origins, and put the headers on whatever is answered, refusals included."""
    names = LOCAL | frozenset(hosts)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        why = foreign(request, names)
        if why:
            return web.Response(status=403, text=f"{why}\n", headers=HEADERS)
        try:
            answer = await handler(request)
        except web.HTTPException as refused:
            refused.headers.update(HEADERS)
            raise
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    return check


def foreign(request: web.Request, names: Collection[str]) -> str:
    """Why the request is a stranger's; empty when it is not."""
    if name_of(request.host) not in names:
        return "foreign Host: name it in page.hosts if it is yours"
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return "foreign Origin"
    # a link from elsewhere may open the page; nothing else of it may be asked from elsewhere
    site, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    if site not in (None, "same-origin", "none") and not (mode == "navigate" and request.path == "/"):
        return "foreign Origin"
    return ""


def name_of(host: str) -> str:
    """``[::1]:8080`` and ``localhost:8080`` without port and brackets."""
    bare = host if host.endswith("]") else host.rpartition(":")[0] or host
    return bare.strip("[]").lower()


class Lock:
    """The token, and how often somebody guessed it lately."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._wrong_s: list[float] = []

    def refusal(self, header: str | None, now_s: float) -> tuple[int, str] | None:
        """(status, why) unless ``Authorization: Bearer TOKEN`` is right. Without a token nothing is."""
        if not self._token:
            return 403, "nothing can be changed here: set page.token_file"
        self._wrong_s = [s for s in self._wrong_s if now_s - s < WINDOW_S]
        if len(self._wrong_s) >= FAILURES_MAX:
            return 429, "too many wrong tokens: wait a minute"
        given = (header or "").removeprefix("Bearer ").encode("utf-8", "replace")
        if header is not None and header.startswith("Bearer ") and hmac.compare_digest(given, self._token):
            return None
        self._wrong_s.append(now_s)
        return 401, "wrong token" if header else "a token is needed"
