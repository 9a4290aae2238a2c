"""Django: a middleware makes `request.user` of who asks.

uvicorn --env-file .env sample_app.frameworks.django:app
"""

import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import path
from django.utils.html import format_html

from authkit_asgi import AuthKit, PathRules

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost"],
    MIDDLEWARE=[f"{__name__}.who_asks"],
    SECRET_KEY=secrets.token_hex(),
)


def who_asks(get_response: Callable[[Any], HttpResponse]) -> Callable[[Any], HttpResponse]:
    def bring_in(request: Any) -> HttpResponse:
        request.user, request.auth = request.scope["user"], request.scope["auth"]
        return get_response(request)

    return bring_in


def page(greeting: str, name: str) -> HttpResponse:
    html: Any = format_html("{}, {}", greeting, name)
    return HttpResponse(html)


def home(request: Any) -> HttpResponse:
    return page("Hello", request.user.display_name or "stranger")


def members(request: Any) -> HttpResponse:
    return page("For members: hello", request.user.display_name)


def admin(request: Any) -> HttpResponse:
    if "admin" not in request.auth.scopes:
        raise PermissionDenied
    return page("For admins: hello", request.user.display_name)


urlpatterns = [path("", home), path("members", members), path("admin", admin)]
app = AuthKit().wrap(get_asgi_application(), PathRules(public=["/"]))
