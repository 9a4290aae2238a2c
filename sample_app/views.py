"""Pages out of templates, under a policy that runs no script but our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from authkit_asgi.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"


class Views:
    """Shows a template to whoever asks, who is known in it as `user`."""

    def __init__(self, settings: Settings, *, has_mailbox: bool) -> None:
        loader = FileSystemLoader(TEMPLATES)
        jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        jinja.globals.update(
            app_name=settings.app_name,
            account=settings.pages_path,
            api=settings.api_path,
            has_mailbox=has_mailbox,
        )
        self._templates = Jinja2Templates(env=jinja)
        self._headers = {
            "Content-Security-Policy": _policy(settings),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            # What a page shows depends on who asks, also where anybody may ask.
            "Cache-Control": "private, no-cache",
            "Vary": "Cookie",
        }

    def page(self, template: str) -> Callable[[Request], Response]:
        """An endpoint for a page that needs to know nothing but who asks."""

        def endpoint(request: Request) -> Response:
            return self.show(request, template)

        return endpoint

    def show(self, request: Request, template: str, **context: object) -> Response:
        context["user"] = request.user
        return self._templates.TemplateResponse(request, template, context, headers=self._headers)


def _policy(settings: Settings) -> str:
    # Not every browser counts ws: as 'self' (CSP level 3 does).
    sockets = settings.origin.replace("http", "ws", 1)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src 'self' {sockets}",
            "frame-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
