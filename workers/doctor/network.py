"""Where a server is, and whether what is said to it can be overheard on the way."""

import socket
from ipaddress import ip_address
from typing import Literal

from workers.broker import is_loopback
from workers.doctor.result import Result, ok, warning, wrong

Place = Literal["here", "private", "public"]


def place(host: str) -> Place:
    """By its addresses; a name that leads nowhere is taken for the worst."""
    if is_loopback(host) or host.startswith("/"):
        return "here"
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return "public"
    addresses = [ip_address(one) for one in found]
    if all(one.is_loopback for one in addresses):
        return "here"
    return "private" if all(one.is_private or one.is_loopback for one in addresses) else "public"


def encryption(check: str, where: Place, *, is_encrypted: bool, is_verified: bool, remedy: str) -> Result:
    """Not encrypted is wrong across the world, and a thing to know on a network of one's own."""
    if is_encrypted and is_verified:
        return ok(check, "encrypted, and the server's certificate and name are verified")
    if where == "here":
        return ok(check, "does not leave this machine")
    said = "encrypted, but whoever answers is believed" if is_encrypted else "not encrypted"
    judge = warning if where == "private" else wrong
    return judge(check, f"{said}: passwords and grants can be read on the way", remedy)
