"""Tells the manager of services that started this process how it is: sd_notify of systemd, a datagram to a socket.

Where nobody wants to know (no NOTIFY_SOCKET) nothing is done. https://www.freedesktop.org/software/systemd/man/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket

logger = logging.getLogger(__name__)


def ready(status: str) -> None:
    """The service serves; `status` is a line for people, as `systemctl status` shows it."""
    _tell(f"READY=1\nSTATUS={status}")


def stopping() -> None:
    """The service takes nothing new and answers what it has accepted."""
    _tell("STOPPING=1\nSTATUS=answering what was accepted")


def _tell(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket: its name begins with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
            wire.sendto(state.encode(), address)
    except OSError as fault:
        logger.warning("the manager of services cannot be told: %s", fault.strerror or fault)
