"""`python -m authkit_asgi` is `authkit-asgi`."""

from __future__ import annotations

import sys

from authkit_asgi.cli import main

if __name__ == "__main__":
    sys.exit(main())
