"""Who may talk to a server on the loopback address: the page that it served, and nobody else.

Any web page that is open in the same browser can send requests to 127.0.0.1, and can make its own
name point there (DNS rebinding). So a request must name this server (Host), must not come from
another origin (Origin, Sec-Fetch-Site), and must know a secret: in the first address, then in a
cookie that browsers send to this server's own pages alone.
"""

import hmac

from flask import Flask, Request, Response, abort, redirect, request

TOKEN_HEADER = "X-Medq-Token"  # for programs, which keep no cookies
OWN_PAGES = ("same-origin", "none")  # none: an address that somebody typed or clicked
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Clinical images stay out of the browser's cache.
    "Cache-Control": "no-store",
}


def protect(app: Flask, port: int, token: str) -> None:
    """Refuse whatever does not come from this server's own page; lock down every answer.

    Args:
        app: Whose requests are looked at first.
        port: The port of 127.0.0.1 that it listens on.
        token: The secret.
    """
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    cookie = f"medq-review-{port}"  # cookies are shared by all ports of a host

    @app.before_request
    def refuse() -> Response | None:
        if request.host not in hosts:
            abort(403, f"this server is http://{hosts[0]}, not {request.host!r}")
        if not _own_page(request, hosts):
            abort(403, "requests from pages of another origin are refused")
        if request.path == "/" and _same(request.args.get("token", ""), token):
            answer = redirect("/", 303)
            answer.set_cookie(cookie, token, httponly=True, samesite="Strict")
            return answer
        given = request.headers.get(TOKEN_HEADER) or request.cookies.get(cookie, "")
        if not _same(given, token):
            abort(403, "open the address that `medq review` printed: it holds the key to this page")
        return None

    @app.after_request
    def lock_down(answer: Response) -> Response:
        answer.headers.update(HEADERS)
        return answer


def _own_page(asked: Request, hosts: tuple[str, ...]) -> bool:
    origin = asked.headers.get("Origin")
    if origin is not None and origin not in [f"http://{host}" for host in hosts]:
        return False
    return asked.headers.get("Sec-Fetch-Site", "none") in OWN_PAGES


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
