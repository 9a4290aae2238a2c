"""A small site guarded by authkit-asgi: to try it out, and to copy from."""
