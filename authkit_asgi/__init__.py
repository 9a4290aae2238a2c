"""Authentication for any ASGI application."""

__version__ = "0.1.0"
