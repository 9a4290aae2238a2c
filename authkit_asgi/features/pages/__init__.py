"""The dashboard: where a sign-in leads that wanted nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authkit_asgi.accounts import public_profile
from authkit_asgi.features import Plug, Services
from authkit_asgi.web.routes import Call, Page, Panel


@dataclass(frozen=True, slots=True)
class Dashboard:
    name = "pages"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        async def data(call: Call[Any]) -> Mapping[str, Any]:
            user = await services.accounts.require(call.identity.id)
            return {"user": public_profile(user)}

        page = Page(path="/dashboard", template="dashboard.html", title="Dashboard", data=data)
        return Plug(
            pages=(page,),
            panels=(Panel(label="Dashboard", path="/dashboard", order=0),),
            templates=Path(__file__).parent / "templates",
        )
