"""The first token: where calls need one and nobody has one that could issue others, the server writes it to a file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invengine.domain.tokens import Role
from invengine.services.tokens import Wanted

if TYPE_CHECKING:
    from invengine.services.tokens import Tokens

logger = logging.getLogger(__name__)

FILE: Final = "admin.token"
NAME: Final = "first-admin"


class FirstTokenUnwritten(Exception):
    """The first token cannot be written to its file, so it was not made; the sentence says why."""


async def ensure_admin(tokens: Tokens, folder: Path) -> None:
    """Issues a token with the role admin where there is none that counts, and writes it to `<folder>/admin.token`,
    which only this user may read. Of several servers that start at once one does it. FirstTokenUnwritten.
    """
    await tokens.load()
    draft = folder / f".{FILE}.{os.getpid()}"
    admins = tokens.admins()
    try:
        if admins:
            _adopt(folder, admins)
            return
        handle = _opened(draft)
    except OSError as fault:
        raise FirstTokenUnwritten(
            f"the first token cannot be written to {folder / FILE}: {fault.strerror}; set INVENGINE_DATA_DIR"
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:

            def write(secret: str) -> None:  # before it counts: no crash leaves a token that nobody has
                file.write(f"{secret}\n")
                file.flush()
                os.fsync(file.fileno())

            wanted = Wanted(NAME, frozenset({Role.ADMIN}))
            # of those that find no admin at the same time only one can have a request of this name
            issued = await tokens.issue(wanted, request_id=f"{NAME} after {tokens.revision}", before=write)
        if issued.secret:
            os.replace(draft, folder / FILE)
            logger.warning("the first token, an administrator's, is in %s: keep it well", folder / FILE)
    finally:
        _remove(draft)


def _opened(draft: Path) -> int:
    """A new file that only this user may read. OSError."""
    draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove(draft)
    return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _remove(draft: Path) -> None:
    draft.unlink(missing_ok=True)


def _adopt(folder: Path, admins: set[str]) -> None:
    """Gives its name to the file of a server that crashed between issuing the token and that. OSError."""
    if (folder / FILE).exists():
        return
    for draft in folder.glob(f".{FILE}.*"):
        if draft.read_text(encoding="utf-8").partition(".")[0] in admins:
            draft.replace(folder / FILE)
            return
