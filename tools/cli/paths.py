"""One rule for `~` in every flag that takes a path."""

from __future__ import annotations

import os


def expand_user(path: str) -> str:
    """`path` with a leading `~` or `~user` replaced by that user's home directory.

    Raises: ValueError if there is no such user.
    """
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path:
        user = path.split("/", 1)[0]
        raise ValueError(f"there is no user {user[1:]!r}: write ./{path} for a name with a ~")
    return expanded
