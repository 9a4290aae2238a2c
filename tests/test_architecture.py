"""What the house promises about itself: layers, one home a library, features that only add."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import authkit_asgi

PACKAGE = Path(authkit_asgi.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module imports from its own row or from those above it in this list.
LAYERS = (
    ("about", "errors", "events", "settings", "threads", "flights", "patience"),
    ("core",),
    ("store", "mail", "broadcast"),
    ("hashing", "purging", "keys", "new_keys"),
    ("accounts",),
    ("links", "revocations"),
    ("sessions",),
    ("signin",),
    ("web",),
    ("middleware", "recognition", "lifespan", "live", "guarding", "guard_services"),
    ("features",),
    ("kit", "remote"),
    ("__init__",),
    ("testing", "doctor", "deployment", "importing", "inspecting"),
    ("cli",),
    ("__main__",),
)
APART = ("client",)
HOMES = {
    "jwt": "core/tokens.py",
    "bcrypt": "core/passwords.py",
    "sqlite3": "store/sqlite.py",
    "asyncpg": "store/sql.py",
    "redis": "broadcast/redis.py",
    "cryptography": "new_keys.py",
}


def layer_of(module: str) -> int:
    """The row of a module of the package, given as `accounts` or `web/cookies`."""
    name = module.split("/")[0]
    return next(row for row, names in enumerate(LAYERS) if name in names)


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def own(name: str) -> str:
    """`authkit_asgi.web.cookies` as `web/cookies`; the package itself as `__init__`."""
    return name.removeprefix("authkit_asgi").lstrip(".").replace(".", "/") or "__init__"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for name in imported(path):
        if not name.startswith("authkit_asgi"):
            continue
        if module.split("/")[0] in APART:
            assert own(name).split("/")[0] in APART, f"{module} stands apart"
        else:
            assert layer_of(own(name)) <= layer_of(module), f"{module} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_import_hides_in_a_function(path: Path) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    hidden = [
        ast.unparse(inner)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, functions)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_no_import_cycle() -> None:
    graph = {
        module_of(path): {own(name) for name in imported(path) if name.startswith("authkit_")}
        for path in FILES
    }
    graph = {module.removesuffix("/__init__"): needed for module, needed in graph.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"a cycle: {' -> '.join((*trail, module))}"
        if module in done:
            return
        for needed in graph.get(module, ()):
            if needed != module:
                visit(needed, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(("library", "home"), HOMES.items())
def test_a_library_has_one_home(library: str, home: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for name in imported(path)
        if name.split(".")[0] == library
    }
    assert users == {home}


@pytest.mark.parametrize(
    "folder", ["store", "mail", "broadcast", "features", "importing", "inspecting"]
)
def test_a_contract_imports_none_of_its_members(folder: str) -> None:
    for name in imported(PACKAGE / folder / "__init__.py"):
        assert not name.startswith(f"authkit_asgi.{folder}.")


def test_no_feature_knows_another() -> None:
    for path in (PACKAGE / "features").glob("*/*.py"):
        mine = f"authkit_asgi.features.{path.parent.name}"
        for name in imported(path):
            if name.startswith("authkit_asgi.features."):
                assert name.startswith(mine), f"{path.parent.name} imports {name}"


def test_the_root_gives_the_few_names_most_people_need() -> None:
    assert authkit_asgi.__all__ == sorted(authkit_asgi.HOMES)
    for name in authkit_asgi.__all__:
        assert getattr(authkit_asgi, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        authkit_asgi.nonsense  # noqa: B018


def test_importing_the_package_imports_no_extra() -> None:
    loaded = loaded_by("from authkit_asgi import AuthKit, AuthMiddleware, Settings, guard")
    extras = {"aiosmtplib", "argon2", "resend", "httpx", "httpx2", "redis"}
    assert not loaded & (extras | {"trio", "sqlite3", "pytest"})


def test_importing_the_client_imports_nothing_of_the_rest() -> None:
    loaded = loaded_by("import authkit_asgi.client")
    assert not loaded & {"starlette", "jwt", "bcrypt", "pydantic", "jinja2"}


def loaded_by(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in out.stdout.split()}
