"""Every way a request can be refused, as one tree.

AuthError
├── InvalidInput              400  invalid_input      the fields do not parse
├── LinkInvalid               400  link_invalid       a mailed link is unknown, used up or over
├── SamePassword              400  same_password      the new password is the old one
├── WrongPassword             400  wrong_password     the current password does not match
├── BadPath                   400  bad_path           a request target no two routers agree on
├── NotSignedIn               401  not_signed_in      nobody is signed in; a refresh would not help
│   ├── TokenExpired          401  token_expired      a refresh would help
│   ├── BadCredentials        401  bad_credentials    e-mail and password do not match
│   ├── TicketInvalid         401  ticket_invalid     a half-finished sign-in is unknown or over
│   └── ChallengeRequired     401  challenge_required the sign-in needs one more step
├── ReauthenticationRequired  401  reauthentication_required  signed in too long ago for this
├── Forbidden                 403  forbidden          signed in, but not allowed
│   ├── EmailNotVerified      403  email_not_verified
│   ├── MissingScope          403  missing_scope      signed in, without the scope that is asked for
│   └── CrossSite             403  cross_site         another site sent this request
├── NotFound                  404  not_found
├── MethodNotAllowed          405  method_not_allowed
├── UsernameTaken             409  username_taken
├── TooLarge                  413  too_large          the body is over the cap
├── WrongMediaType            415  wrong_media_type   JSON only
├── TooMany                   429  rate_limited       slow down
└── Unavailable               503  unavailable        a part we need is down; try again
    ├── StoreUnavailable      503  unavailable        the database does not answer
    └── Busy                  503  unavailable        more work waits than is wise to accept

Status and code live on the class; `authkit_asgi.web.replies` turns any of them into an answer.
Anything else that is raised is a fault of ours: a 500, and nobody's cookies are touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class AuthError(Exception):
    status = 400
    code = "auth_error"
    message = "The request was refused."

    def __init__(self, message: str | None = None, *, cookies: Sequence[str] = ()) -> None:
        """`cookies` are whole Set-Cookie values that go with the answer."""
        super().__init__(message or self.message)
        self.cookies = cookies

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer, by name."""
        return {}

    @property
    def details(self) -> Mapping[str, object]:
        """What else the JSON answer says, beside `error` and `code`."""
        return {}


class InvalidInput(AuthError):
    code = "invalid_input"
    message = "Some of the fields are not right."

    def __init__(
        self, message: str | None = None, *, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})

    @property
    def details(self) -> Mapping[str, object]:
        return {"fields": self.fields} if self.fields else {}


class LinkInvalid(AuthError):
    code = "link_invalid"
    message = "This link is not valid, or no longer. Ask for a new one."


class SamePassword(AuthError):
    code = "same_password"
    message = "The new password must differ from the current one."


class WrongPassword(AuthError):
    code = "wrong_password"
    message = "The current password is not right."


class BadPath(AuthError):
    code = "bad_path"
    message = "The request target is not a path."


class NotSignedIn(AuthError):
    status = 401
    code = "not_signed_in"
    message = "Please sign in."

    @property
    def headers(self) -> Mapping[str, str]:
        # RFC 9110 section 11.6.1: a 401 names a challenge. RFC 6750 section 3.1 has the words.
        return {"WWW-Authenticate": 'Bearer realm="authkit"'}


class TokenExpired(NotSignedIn):
    code = "token_expired"
    message = "The access token has run out."

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "WWW-Authenticate": 'Bearer realm="authkit", error="invalid_token", '
            'error_description="The access token expired"'
        }


class BadCredentials(NotSignedIn):
    code = "bad_credentials"
    message = "E-mail address or password is wrong."


class TicketInvalid(NotSignedIn):
    code = "ticket_invalid"
    message = "This sign-in is no longer open. Start again."


class ChallengeRequired(NotSignedIn):
    """The first factor was right and a gate asks for more: present `ticket` with the answer."""

    code = "challenge_required"
    message = "One more step is needed to sign in."

    def __init__(self, challenge: str, ticket: str) -> None:
        super().__init__()
        self.challenge = challenge
        self.ticket = ticket

    @property
    def details(self) -> Mapping[str, object]:
        return {"data": {"challenge": self.challenge, "ticket": self.ticket}}


class ReauthenticationRequired(AuthError):
    """Whoever is signed in has proved it too long ago. `max_age`: seconds that are not too long."""

    status = 401
    code = "reauthentication_required"
    message = "Please enter your password once more to go on."

    def __init__(self, max_age: float = 0) -> None:
        super().__init__()
        self.max_age = max_age

    @property
    def headers(self) -> Mapping[str, str]:
        return {  # RFC 9470 section 3
            "WWW-Authenticate": 'Bearer realm="authkit", error="insufficient_user_authentication", '
            'error_description="A more recent authentication is required", '
            f'max_age="{int(self.max_age)}"'
        }


class Forbidden(AuthError):
    status = 403
    code = "forbidden"
    message = "You may not do this."


class EmailNotVerified(Forbidden):
    code = "email_not_verified"
    message = "Please confirm your e-mail address first: follow the link in the mail we sent."


class MissingScope(Forbidden):
    code = "missing_scope"
    message = "You may not do this: your account lacks the right to."

    def __init__(self, scopes: Sequence[str] = ()) -> None:
        super().__init__()
        self.scopes = tuple(scopes)

    @property
    def headers(self) -> Mapping[str, str]:
        return {  # RFC 6750 section 3.1
            "WWW-Authenticate": 'Bearer realm="authkit", error="insufficient_scope", '
            f'scope="{" ".join(self.scopes)}"'
        }


class CrossSite(Forbidden):
    code = "cross_site"
    message = "This request came from another site."


class NotFound(AuthError):
    status = 404
    code = "not_found"
    message = "There is nothing here."


class MethodNotAllowed(AuthError):
    status = 405
    code = "method_not_allowed"
    message = "This method is not allowed here."

    def __init__(self, allow: str = "") -> None:
        super().__init__()
        self.allow = allow

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": self.allow}


class UsernameTaken(AuthError):
    status = 409
    code = "username_taken"
    message = "This username is taken."

    @property
    def details(self) -> Mapping[str, object]:
        return {"fields": {"username": self.message}}


class TooLarge(AuthError):
    status = 413
    code = "too_large"
    message = "The request body is too large."


class WrongMediaType(AuthError):
    status = 415
    code = "wrong_media_type"
    message = "Send the body as application/json."


class _RetryLater(AuthError):
    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> Mapping[str, str]:
        """`Retry-After` in whole seconds (RFC 9110 section 10.2.3)."""
        return {"Retry-After": str(self.retry_after)}


class TooMany(_RetryLater):
    status = 429
    code = "rate_limited"
    message = "Too many attempts. Please wait a little."


class Unavailable(_RetryLater):
    status = 503
    code = "unavailable"
    message = "This is not available right now. Please try again in a moment."


class StoreUnavailable(Unavailable):
    """The database does not answer. An outage is never an absence: it always raises this."""


class Busy(Unavailable):
    """More work waits than is wise to accept."""
