"""The command line: `authkit-asgi`, or `python -m authkit_asgi`.

It works on the same settings and the same store as the application, and may run beside it.

exit  means                    stdout                 stderr
----  -----------------------  ---------------------  ------------------------------------------
0     done                     lines, or one JSON     progress, mails of `console:`, log
1     refused, or a problem    only what `check` found  the reason, or one line of JSON
2     the command is misused   nothing                the usage, or one line of JSON

A password comes by a prompt or by standard input, never as an argument: arguments stay in the
shell's history, and every user of the machine can list them. None is ever printed (SECURITY W-16).
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn, cast

import anyio
from pydantic import TypeAdapter, ValidationError

from authkit_asgi import __version__
from authkit_asgi.accounts import User, public_profile
from authkit_asgi.core.fields import EmailAddress
from authkit_asgi.core.paths import PathRules
from authkit_asgi.deployment import Finding, findings
from authkit_asgi.doctor import problems, warnings, weaknesses
from authkit_asgi.errors import AuthError, NotFound, StoreUnavailable, UsernameTaken
from authkit_asgi.events import Registered, SessionsEnded
from authkit_asgi.features.register import RegisterBody
from authkit_asgi.hashing import calibrate
from authkit_asgi.importing import SourceProblem
from authkit_asgi.importing.judging import Terms
from authkit_asgi.importing.sources import SOURCES, source_from
from authkit_asgi.importing.taking import Note, Report, Taking
from authkit_asgi.inspecting import UnknownApp
from authkit_asgi.inspecting.deciding import decisions, explanation, faults
from authkit_asgi.inspecting.loading import loaded
from authkit_asgi.inspecting.telling import (
    explanation_data,
    explanation_told,
    faults_data,
    faults_told,
    routes_data,
    routes_told,
)
from authkit_asgi.inspecting.walking import rules_of, site_of
from authkit_asgi.kit import AuthKit
from authkit_asgi.settings import Settings, SettingsError
from authkit_asgi.store import Change, Inspectable, Range, Taken, TooNew
from authkit_asgi.web.calls import parsed

DONE, REFUSED, MISUSED, INTERRUPTED = 0, 1, 2, 130

EXAMPLES = """\
examples:
  authkit-asgi secret >> .env
  authkit-asgi check --env-file .env
  authkit-asgi create-user --email ada@example.com --username ada \\
      --firstname Ada --lastname Lovelace --verified --admin
  authkit-asgi revoke --user ada@example.com
  authkit-asgi COMMAND --help

Settings are read from the environment (AUTHKIT_*), and from --env-file where that is silent.
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command has to say: `lines` for a person, `data` for a program."""

    lines: Sequence[str]
    data: Mapping[str, object]
    status: int = DONE


class Problem(Exception):
    """Why a command is not carried out. `details` is what else the JSON says."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, object] | None = None,
        *,
        status: int = REFUSED,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details or {}
        self.status = status


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command: the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _arguments(words)
        _load(args.env_file)
        told: Told = args.run(args)
    except (AuthError, Problem, SettingsError) as error:
        return _complain(_problem_of(error), as_json="--json" in words)
    except KeyboardInterrupt:
        return INTERRUPTED
    print(json.dumps(told.data) if args.json else "\n".join(told.lines))
    return told.status


def _problem_of(error: AuthError | Problem | SettingsError) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, SettingsError):
        return Problem("settings_invalid", str(error), {"problems": error.problems})
    return Problem(error.code, str(error), error.details)


def _complain(problem: Problem, *, as_json: bool) -> int:
    if as_json:
        text = json.dumps({"error": str(problem), "code": problem.code, **problem.details})
    else:
        text = "\n".join([f"authkit-asgi: {problem}", *_more_lines(problem.details)])
    print(text, file=sys.stderr)
    return problem.status


def _more_lines(details: Mapping[str, object]) -> Iterator[str]:
    if "usage" in details:
        yield str(details["usage"])
    if isinstance(fields := details.get("fields"), Mapping):
        yield from (f"  - {name}: {wrong}" for name, wrong in fields.items())


# ---- Reading the command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        usage = self.format_usage().rstrip()
        raise Problem("usage", message, {"usage": usage}, status=MISUSED)


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    start = argparse.Namespace(json=False, env_file=None)
    args, unknown = parser.parse_known_args(words, start)
    if unknown:
        # Only names are repeated: what follows a mistaken `--password` is one.
        names = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        parser.error("unknown arguments: " + (" ".join(names) or "one or more"))
    return args


def _parser() -> argparse.ArgumentParser:
    # SUPPRESS: both may stand before or after the command, and the one does not undo the other.
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print JSON, errors too")
    common.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="a file of KEY=VALUE lines; what the environment says already wins",
    )
    parser = _Parser(
        prog="authkit-asgi",
        description="Look after the accounts and sessions of an application with authkit-asgi.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], Told], tells: str, more: str = ""
    ) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = commands.add_parser(
            name,
            help=tells,
            description=f"{tells[0].upper()}{tells[1:]}.",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
            allow_abbrev=False,
        )
        one.set_defaults(run=run)
        return one

    command("secret", _secret, "print two new secrets, as lines for an env file", SECRET_HELP)
    keys = command("keys", _keys, "make a key pair, so that others can verify", KEYS_HELP)
    keys.add_argument("path", type=Path, metavar="FILE", help="the private key, as in access.pem")
    keys.add_argument("--algorithm", choices=("EdDSA", "ES256"), default="EdDSA")
    migrate = command(
        "migrate",
        partial(_with_kit, _migrate, starts=False),
        "bring the database up to what this version needs",
        MIGRATE_HELP,
    )
    migrate.add_argument("--dry-run", action="store_true", help="say what would be done")

    create = command(
        "create-user", partial(_with_kit, _create_user), "make an account", CREATE_HELP
    )
    for name in ("--email", "--username", "--firstname", "--lastname"):
        create.add_argument(name, required=True)
    create.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    create.add_argument(
        "--verified", action="store_true", help="the address is known to be theirs: mail no link"
    )
    create.add_argument("--admin", action="store_true", help="make the account an admin's")

    promote = command(
        "make-admin", partial(_with_kit, _make_admin), "make an account an admin's", ADMIN_HELP
    )
    promote.add_argument("who", metavar="EMAIL_OR_ID")
    promote.add_argument(
        "--even-unverified",
        action="store_true",
        help="also when nobody has proved to read the account's mailbox",
    )

    revoke = command("revoke", partial(_with_kit, _revoke), "end sessions", REVOKE_HELP)
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("--user", metavar="EMAIL_OR_ID", help="all sessions of this account")
    which.add_argument("--session", metavar="ID", help="this one")

    bring = command(
        "import",
        partial(_with_kit, _import),
        "take over the accounts of another system",
        IMPORT_HELP,
    )
    bring.add_argument("--from", dest="system", required=True, choices=SOURCES)
    bring.add_argument(
        "source",
        metavar="SOURCE",
        help="a file or a database URL; env:NAME reads it from the environment, - is stdin",
    )
    bring.add_argument("--table", metavar="NAME", help="the table or collection, if not the usual")
    bring.add_argument("--write", action="store_true", help="do it; without, only tell")
    bring.add_argument(
        "--assume-verified",
        action="store_true",
        help="all addresses are known to be theirs, whatever the source says",
    )
    bring.add_argument(
        "--drop-unfit-passwords",
        action="store_true",
        help="take people whose password hash cannot be used, without it",
    )

    command("cleanup", partial(_with_kit, _cleanup), "remove the rows that are over", CLEANUP_HELP)

    hashers = command(
        "hashers", _hashers, "find what hashing a password may cost on this machine", HASHERS_HELP
    )
    hashers.add_argument("action", choices=["calibrate"])
    hashers.add_argument(
        "--target",
        type=_duration,
        default=0.25,
        metavar="TIME",
        help="what one hash may take, such as 250ms (the default) or 0.5s",
    )

    check = command("check", _check, "find what is wrong before your users do", CHECK_HELP)
    check.add_argument("--mail-to", type=_address, metavar="EMAIL", help="send a mail there, too")
    check.add_argument(
        "--url", metavar="URL", help="look at a deployment from outside instead; needs no settings"
    )

    routes = command("routes", _routes, "show what the rules say of each route", ROUTES_HELP)
    routes.add_argument("app", metavar="MODULE:APP", help="as a server gets it")
    routes.add_argument(
        "--check", action="store_true", help="exit with 1 where the rules and the routes disagree"
    )
    explain = command("explain", _explain, "tell what becomes of a request, and why", EXPLAIN_HELP)
    explain.add_argument("method", metavar="METHOD", type=str.upper)
    explain.add_argument("path", metavar="PATH", help="as it stands in the request, encoded")
    explain.add_argument(
        "--app", metavar="MODULE:APP", help="whose rules; without, the kit's own and no others"
    )
    return parser


SECRET_HELP = """\
example:
  authkit-asgi secret >> .env
"""
KEYS_HELP = """\
Writes FILE, which only you can read, and the public key beside it as FILE.pub.
AUTHKIT_ACCESS_KEYS takes both. Nothing that is there is overwritten.

examples:
  authkit-asgi keys /etc/acme/access.pem
  authkit-asgi keys access.pem --algorithm ES256
"""
MIGRATE_HELP = """\
The application does the same when it starts; any number may do it at once.

examples:
  authkit-asgi migrate --dry-run
  authkit-asgi migrate --json
"""
CREATE_HELP = """\
The password is asked for, or read from standard input; it is never an argument.

examples:
  authkit-asgi create-user --email ada@example.com --username ada \\
      --firstname Ada --lastname Lovelace
  pass show ada | authkit-asgi create-user --password-stdin --verified --admin ...
"""
ADMIN_HELP = """\
It counts in every running worker within AUTHKIT_REVOCATION_POLL seconds, and signs nobody out.

examples:
  authkit-asgi make-admin ada@example.com
  authkit-asgi make-admin -- -Q2vB0kX7cT1nZ5mE8rY4w   (an id that begins with a dash)
"""
REVOKE_HELP = """\
It counts in every running worker within AUTHKIT_REVOCATION_POLL seconds.

examples:
  authkit-asgi revoke --user ada@example.com
  authkit-asgi revoke --session=3yMZ0r6vqUqTnXo5cF2m1g
"""
IMPORT_HELP = """\
A dry run, until you add --write. Running it again takes only who is not there yet.

examples:
  authkit-asgi import --from next-auth-kit env:OLD_MONGODB_URI
  authkit-asgi import --from fastapi-users sqlite:///old.db --write
  authkit-asgi import --from django env:OLD_DATABASE_URL --assume-verified
  sort people.jsonl | authkit-asgi import --from jsonl -
"""
CLEANUP_HELP = """\
Safe at any time, beside the running application. Once a day is plenty.

example, for cron:
  17 4 * * *  authkit-asgi cleanup --env-file /etc/acme/authkit.env
"""
HASHERS_HELP = """\
Run it on the machine that will serve. Needs no settings, and changes nothing.

examples:
  authkit-asgi hashers calibrate --target 250ms
  authkit-asgi hashers calibrate --json
"""
CHECK_HELP = """\
Looks at the settings, the store and the mailer, and changes nothing.
The exit status is 1 when there are problems; warnings alone leave it 0.

examples:
  authkit-asgi check --env-file .env
  authkit-asgi check --mail-to me@example.com
"""


ROUTES_HELP = """\
Reads Starlette, FastAPI, Litestar, Quart and Django, with what is mounted in them. The app is
imported, and not started. --check finds rules that match nothing, rules that others shadow, and
routes that no rule names.

examples:
  authkit-asgi routes sample_app.main:app
  authkit-asgi routes 'shop.main:make_app()'
  authkit-asgi routes --check --json sample_app.main:app
"""
EXPLAIN_HELP = """\
For a stranger, somebody signed in, one whose address is not confirmed, and one who signed in long
ago; in a browser and by a program.

examples:
  authkit-asgi explain GET /user/dashboard
  authkit-asgi explain POST '/settings/card?id=1' --app sample_app.main:app
"""


def _address(text: str) -> str:
    try:
        return TypeAdapter[str](EmailAddress).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError("this is not an e-mail address") from None


def _duration(text: str) -> float:
    """Seconds, of `250ms` or `0.5s`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s)", text)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError("give a time such as 250ms or 0.5s, of a minute at most")
    return seconds


# ---- The environment

_SETTING = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>(?!['"]).*?))
    \s*(?:(?<=\s)\#.*)?""",
    re.VERBOSE,
)


def _load(path: Path | None) -> None:
    """Take over the settings in a file; what the environment says already wins."""
    if path is None:
        return
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        wrong = error.strerror or "cannot be read"
        raise Problem("env_file_invalid", f"{path}: {wrong}") from None
    except UnicodeDecodeError:  # its bytes are not repeated: they may hold a secret
        raise Problem("env_file_invalid", f"{path}: This is not text in UTF-8") from None
    for name, value in dict(_settings_in(text, path)).items():
        os.environ.setdefault(name, value)


def _settings_in(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _SETTING.fullmatch(line)
        if found is None:  # the line is not repeated: it may hold a secret
            raise Problem("env_file_invalid", f"{path}, line {number}: expected KEY=VALUE")
        yield found["name"], found["single"] or found["double"] or found["bare"] or ""


# ---- Commands


def _secret(args: argparse.Namespace) -> Told:
    # Hex: every shell and env file reads it alike, and by no chance does it spell a sample word.
    fresh = {
        name: secrets.token_hex(32)
        for name in ("AUTHKIT_TOKEN_SECRET", "AUTHKIT_REFRESH_TOKEN_SECRET")
    }
    return Told([f"{name}={value}" for name, value in fresh.items()], fresh)


def _keys(args: argparse.Namespace) -> Told:
    private: Path = args.path.absolute()
    public = private.with_name(f"{private.name}.pub")
    try:
        import_module("authkit_asgi.new_keys").write_pair(private, public, args.algorithm)
    except ImportError as error:
        raise Problem("extra_missing", str(error)) from None
    except OSError as error:
        wrong = error.strerror or "cannot be written"
        raise Problem("key_not_written", f"{error.filename}: {wrong}") from None
    lines = [f"AUTHKIT_ACCESS_KEYS={private}", f"# to verify only: {public}"]
    return Told(lines, {"private": str(private), "public": str(public)})


def _hashers(args: argparse.Namespace) -> Told:
    times = calibrate(args.target)
    fitting = [rounds for rounds, took in times.items() if took <= args.target]
    rounds = max(fitting, default=min(times))
    cores = os.cpu_count() or 1
    lines = [f"{number} rounds: {took * 1000:.0f} ms" for number, took in times.items()]
    if not fitting:
        lines.append(f"None is that quick; {rounds} are the fewest for a site in public.")
    lines.append(f"{cores} cores: at most {cores / times[rounds]:.0f} sign-ins a second.")
    lines.append(f"AUTHKIT_BCRYPT_ROUNDS={rounds}")
    data = {
        "rounds": rounds,
        "fits": bool(fitting),
        "targetMs": args.target * 1000,
        "times": [{"rounds": one, "ms": round(took * 1000, 1)} for one, took in times.items()],
    }
    return Told(lines, data)


def _with_kit(
    work: Callable[[AuthKit, argparse.Namespace], Awaitable[Told]],
    args: argparse.Namespace,
    *,
    starts: bool = True,
) -> Told:
    """Carry out `work` with a kit, started unless `work` does that itself."""
    settings = Settings()
    if settings.database_url.startswith("memory:"):
        raise Problem(
            "store_in_memory", "AUTHKIT_DATABASE_URL: what is done in memory ends with this command"
        )
    try:
        kit = AuthKit(settings)
    except SettingsError:
        raise
    except (ValueError, ImportError) as error:  # a library is missing, or too old
        raise Problem("settings_invalid", str(error), {"problems": [str(error)]}) from None

    async def run() -> Told:
        try:
            if starts:
                await kit.start()
            return await work(kit, args)
        except TooNew as newer:
            raise Problem("database_too_new", str(newer)) from None
        finally:
            await kit.close()

    return anyio.run(run)


async def _migrate(kit: AuthKit, args: argparse.Namespace) -> Told:
    changes: list[Change] = []
    if isinstance(kit.store, Inspectable):
        changes = await kit.store.pending(kit.tables)
    if not args.dry_run:
        await kit.start()
    names = [table.name for table in kit.tables]
    lines = [f"{one.table}: {one.tells}" for one in changes]
    if args.dry_run:
        lines = lines or ["Nothing would be done."]
    else:
        lines.append(f"The tables are there: {', '.join(names)}.")
    done = [{"table": one.table, "version": one.version, "change": one.tells} for one in changes]
    return Told(lines, {"tables": names, "changes": done, "dryRun": args.dry_run})


async def _create_user(kit: AuthKit, args: argparse.Namespace) -> Told:
    """By the same types and the same policy as registering (SECURITY W-18)."""
    fields = {name: getattr(args, name) for name in ("email", "username", "firstname", "lastname")}
    body = cast("RegisterBody", parsed(RegisterBody, {**fields, "password": _password(args)}))
    services = kit.services
    context = (*body.context, kit.settings.app_name)
    services.hashing.demand_strong(body.password, context=context)
    now = kit.clock()
    try:
        user = await services.accounts.create(
            firstname=body.firstname,
            lastname=body.lastname,
            username=body.username,
            email=body.email,
            password_hash=await services.hashing.hash(body.password),
            now=now,
            is_verified=args.verified,
            is_admin=args.admin,
        )
    except Taken as taken:
        if taken.field == "username_key":
            raise UsernameTaken from None
        raise Problem("email_taken", "This e-mail address has an account.") from None
    await kit.events.tell(Registered(at=now, user_id=user.id))
    lines = [f"{user.username} has an account, with the id {user.id}."]
    if not user.is_verified:
        lines.append("A mail with a link to confirm the address is on its way.")
    return Told(lines, {"user": public_profile(user)})


def _password(args: argparse.Namespace) -> str:
    if args.password_stdin:
        return _piped_password()
    if not sys.stdin.isatty():
        raise Problem("usage", "without a terminal, use --password-stdin", status=MISUSED)
    try:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") == password:
            return password
    except EOFError:
        pass
    raise Problem("passwords_differ", "The two passwords differ.")


def _piped_password() -> str:
    try:
        text = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Problem("invalid_input", "The password is not UTF-8.") from None
    if "\n" in text:
        raise Problem("invalid_input", "Standard input holds more than one line.")
    return text


async def _make_admin(kit: AuthKit, args: argparse.Namespace) -> Told:
    """How the first admin comes to be: there is none by default (SECURITY G-02)."""
    user = await _user(kit, args.who)
    if not user.is_verified and not args.even_unverified:
        # Anyone can register with the address of somebody who is about to become an admin.
        raise Problem(
            "email_not_verified",
            "Nobody has confirmed this address yet: the account may be a stranger's. "
            "If you know better, add --even-unverified.",
        )
    now = kit.clock()
    changed = await kit.services.accounts.set_admin(user.id, True, now=now)
    if changed is None:
        raise NotFound("There is no such account.")
    kit.services.sessions.revocations.note_user(changed, now=now)
    return Told([f"{changed.username} is an admin."], {"user": public_profile(changed)})


async def _revoke(kit: AuthKit, args: argparse.Namespace) -> Told:
    if args.user is not None:
        return await _revoke_all(kit, args.user)
    session = await kit.services.sessions.get(args.session)
    if session is None:
        raise NotFound("There is no such session.")
    now = kit.clock()
    if await kit.services.sessions.close(session.id, reason="revoked", now=now):
        await kit.events.tell(
            SessionsEnded(at=now, user_id=session.user_id, session_id=session.id, scope="one")
        )
    data = {"userId": session.user_id, "sessionId": session.id, "scope": "one"}
    return Told(["The session is over."], data)


async def _revoke_all(kit: AuthKit, who: str) -> Told:
    now = kit.clock()
    user = await kit.services.sessions.close_all((await _user(kit, who)).id, now=now)
    if user is None:
        raise NotFound("There is no such account.")
    await kit.events.tell(SessionsEnded(at=now, user_id=user.id, scope="all"))
    return Told([f"All sessions of {user.username} are over."], {"userId": user.id, "scope": "all"})


async def _user(kit: AuthKit, who: str) -> User:
    accounts = kit.services.accounts
    user = await (accounts.by_email(who) if "@" in who else accounts.by_id(who))
    if user is None:
        raise NotFound("There is no such account.")
    return user


async def _import(kit: AuthKit, args: argparse.Namespace) -> Told:
    """No mail is sent, and nobody hears of it: these people have had their accounts for long."""
    notes: list[Note] = []
    said = 0

    def tell(note: Note) -> None:
        if args.json:
            notes.append(note)
        else:
            print(_line(note))

    def progress(report: Report) -> None:
        nonlocal said
        if not args.json and report.read - said >= 1000:
            said = report.read
            print(f"{report.read} rows ...", file=sys.stderr)

    services = kit.services
    terms = Terms(
        system=args.system,
        secret=kit.settings.refresh_token_secret[0],
        unfit=services.hashing.unfit,
        now=kit.clock(),
        assume_verified=args.assume_verified,
        drop_unfit_passwords=args.drop_unfit_passwords,
    )
    taking = Taking(services.accounts, terms, write=args.write, tell=tell, progress=progress)
    try:
        source = source_from(args.system, _place(args.source), table=args.table)
        try:
            report = await taking.all_of(source)
        finally:
            await source.close()
    except ImportError as error:
        raise Problem("extra_missing", str(error)) from None
    except (SourceProblem, StoreUnavailable) as error:
        code = "source_unreadable" if isinstance(error, SourceProblem) else error.code
        done = f" {taking.report.taken} accounts were taken until then; run it again to go on."
        more = done if args.write and taking.report.read else ""
        raise Problem(code, f"{error}{more}", {"report": taking.report.data}) from None
    data = {"written": args.write, **report.data, "notes": [note.data for note in notes]}
    return Told(_summary(report, written=args.write), data)


def _place(source: str) -> str:
    """What `env:NAME` stands for: a URL with a password in it is no argument (SECURITY W-16)."""
    if not source.startswith("env:"):
        return source
    name = source.removeprefix("env:")
    if name not in os.environ:
        raise Problem("source_unreadable", f"The environment has no {name}.")
    return os.environ[name]


def _line(note: Note) -> str:
    kind = note.code if note.code == "changed" else "skipped"
    text = f"{kind}  {note.where}  {note.who}  {note.tells}"
    # What stands in a foreign row may be written for this terminal.
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _summary(report: Report, *, written: bool) -> list[str]:
    lines = [
        f"{report.read} rows read.",
        f"{report.taken} {'taken' if written else 'would be taken'}: {report.admins} admins, "
        f"{report.unverified} not verified, {report.disabled} disabled, "
        f"{report.without_password} without a password, {report.changed} with changes.",
        f"{report.there} there already, and left as they are.",
        f"{report.skipped} skipped.",
    ]
    lines += [f"  {code}: {count}" for code, count in sorted(report.reasons.items())]
    return lines if written else [*lines, "Nothing is written: add --write to do it."]


async def _cleanup(kit: AuthKit, args: argparse.Namespace) -> Told:
    """In batches, so that the application's own writes get their turn in between."""
    now = kit.clock()
    removed: dict[str, int] = {}
    for table in kit.tables:
        if table.purge is None:
            continue
        removed[table.name] = 0
        while batch := await kit.store.delete(table, {table.purge: Range(lt=now)}):
            removed[table.name] += batch
            if not args.json:
                print(f"{table.name}: {removed[table.name]} ...", file=sys.stderr)
    total = sum(removed.values())
    lines = [f"{name}: {count} removed" for name, count in removed.items()]
    return Told([*lines, f"{total} in all."], {"removed": removed, "total": total})


# ---- check


def _check_deployment(url: str) -> Told:
    try:
        found = findings(url)
    except (ValueError, OSError) as error:
        raise Problem("unreachable", f"{url} cannot be looked at: {error}") from None
    bad = [one for one in found if not one.holds and not one.warns]
    return Told(
        [f"{_judgement(one):9}{one.name:20}{one.advice}".rstrip() for one in found],
        {
            "ok": not bad,
            "checks": [
                {"name": one.name, "advice": one.advice, "warning": one.warns} for one in found
            ],
        },
        REFUSED if bad else DONE,
    )


def _judgement(one: Finding) -> str:
    return "ok" if one.holds else "warning" if one.warns else "problem"


def _check(args: argparse.Namespace) -> Told:
    """Problems keep the application from working; warnings do not, and still deserve a look."""
    if args.url is not None:
        return _check_deployment(args.url)
    try:
        settings = Settings()
    except SettingsError as error:
        found, warned = list(error.problems), list[str]()
    else:
        found = anyio.run(problems, settings, args.mail_to)
        warned = [*anyio.run(weaknesses, settings), *warnings(settings)]
    lines = [f"problem  {one}" for one in found] + [f"warning  {one}" for one in warned]
    return Told(
        lines or ["All is well."],
        {"ok": not found, "problems": found, "warnings": warned},
        REFUSED if found else DONE,
    )


# ---- routes, explain


def _routes(args: argparse.Namespace) -> Told:
    try:
        site = site_of(loaded(args.app))
    except UnknownApp as error:
        raise Problem("app_unknown", str(error)) from None
    found = decisions(site)
    wrong = list(faults(site)) if args.check else []
    lines = [*routes_told(found), *([""] if wrong else []), *faults_told(wrong)]
    data: dict[str, object] = {"routes": routes_data(found)}
    if args.check:
        data |= {"ok": not wrong, "problems": faults_data(wrong)}
    return Told(lines, data, REFUSED if wrong else DONE)


def _explain(args: argparse.Namespace) -> Told:
    try:
        rules = rules_of(loaded(args.app)) if args.app else AuthKit().rules_for(PathRules())
    except UnknownApp as error:
        raise Problem("app_unknown", str(error)) from None
    told = explanation(rules, args.method, args.path)
    return Told(
        list(explanation_told(args.method, args.path, told)),
        explanation_data(args.method, args.path, told),
    )
