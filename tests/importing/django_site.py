"""A Django site with people in it: makes its database at the path it is given, by Django's own
commands and models, with the hashers and their costs as they are."""

from __future__ import annotations

import json
import sys

import django
from django.conf import settings
from django.core.management import call_command

PASSWORD = "motörhead für immer"
HASHERS = ("PBKDF2", "PBKDF2SHA1", "BCryptSHA256", "BCrypt", "Argon2")

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}PasswordHasher" for name in HASHERS],
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402


def person(name: str, **values: object) -> User:
    values = {"email": f"{name}@Example.com", **values}
    return User(username=name, **values)


people = [
    person(name.lower(), password=make_password(PASSWORD, hasher=algorithm), first_name="Ada")
    for name, algorithm in (
        ("Pia", "pbkdf2_sha256"),
        ("Per", "pbkdf2_sha1"),
        ("Bea", "bcrypt_sha256"),
        ("Ben", "bcrypt"),
        ("Ann", "argon2"),
    )
]
unusable = make_password(None)
people += [
    person("gone", is_active=False, password=unusable),
    person("root", is_superuser=True, is_staff=True, password=unusable),
    person("staff1", is_staff=True, password=unusable, last_name="x" * 40),
    person("at@home+x", email="at@example.com", password=unusable),
    person("PIA", email="pia2@example.com", password=unusable),
    person("double", email="pia@example.com", password=unusable),
    person("nobody", email="", password=unusable),
]
User.objects.bulk_create(people)
print(json.dumps({user.username: user.date_joined.timestamp() for user in User.objects.all()}))
