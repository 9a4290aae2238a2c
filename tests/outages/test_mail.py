"""The mail server is down: nobody waits for it, and the mail comes later."""

from __future__ import annotations

import time

import anyio.to_thread
from aiosmtpd.controller import Controller

from authkit_asgi import AuthKit
from authkit_asgi.store.memory import MemoryStore
from tests.mail.test_smtp import Post
from tests.outages.table import proves
from tests.servers.serving import free_port
from tests.world import Browser, members_app, registration, settings


@proves("The mail server is down")
async def test_accounts_are_made_meanwhile_and_their_mails_come_later() -> None:
    """SECURITY E-04: no answer tells that a mail did not go out."""
    port = free_port()
    kit = AuthKit(
        settings(mail_url=f"smtp://127.0.0.1:{port}", mail_from="no-reply@app.example"),
        store=MemoryStore(),
    )
    async with Browser(kit.wrap(members_app())) as browser:
        began = time.monotonic()
        registered = await browser.api("POST", "/register", registration())
        forgotten = await browser.api(
            "POST", "/forgot-password/sent", {"email": "ada@example.test"}
        )
        assert (registered.status_code, forgotten.status_code) == (201, 200)
        assert time.monotonic() - began < 5
        assert not await kit.outbox.flush(0.1)

        post = Post()
        server = Controller(post, hostname="127.0.0.1", port=port)
        await anyio.to_thread.run_sync(server.start)
        try:
            assert await kit.outbox.flush(20)
        finally:
            await anyio.to_thread.run_sync(server.stop)
        assert set(post.recipients) == {"ada@example.test"}
        assert len(post.messages) == 2
    await kit.close()
