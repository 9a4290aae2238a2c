"""On what sort of file system a path lies, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# Other machines reach the same files, or a program in between answers for them: locks and shared
# memory, on which SQLite builds, may not hold there. `fuseblk` is a disk of this machine.
REMOTE = re.compile(r"nfs4?|cifs|smb3?|smbfs|afs|ceph|glusterfs|lustre|beegfs|gpfs|9p|fuse(\..*)?")


def remote_file_system(path: Path) -> str | None:
    """Its type, when it is a network's or a program's; None on a local disk, and where the system
    does not tell."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    kind, deepest = "", Path("/")
    place = path.resolve()
    for line in lines:
        # 36 35 98:0 /root /mount\040point rw,noatime master:1 - ext4 /dev/root rw  (man 5 proc)
        head, _, tail = line.partition(" - ")
        point = Path(_unescaped(head.split(" ")[4]))
        # Of two on one point the later lies above.
        if place.is_relative_to(point) and point.is_relative_to(deepest):
            kind, deepest = tail.split(" ")[0], point
    return kind if REMOTE.fullmatch(kind) else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
