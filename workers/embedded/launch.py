"""Become a child, with what must hold from its first instruction. Run as a program: ``launch.py SIGNAL PARENT IDENTITY
PROGRAM ARGUMENT...``; the process id stays the one that the parent knows.

A program rather than a ``preexec_fn``: that runs Python between fork and exec, which can deadlock as soon as the parent
has a second thread (Rich's live display is one). Costs 15 ms a child. Standard library only, run with ``-I -S``.

IDENTITY is ``same``; ``user:UID:GID``; or ``namespace:UID:GID``: a user namespace of its own in which the caller is
UID. PostgreSQL, which refuses to be root, sees an ordinary user there while its files stay the caller's.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
REFUSED = 97


def enter_namespace(uid: int, gid: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, value in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  one import less, on the way of every start
            file.write(value)


def take(identity: str) -> None:
    how, _, ids = identity.partition(":")
    if how == "same":
        return
    uid, gid = map(int, ids.split(":"))
    if how == "namespace":
        enter_namespace(uid, gid)
    else:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def die_with(parent: int, signal: int) -> None:
    """After the identity is taken: the kernel forgets this request whenever credentials change."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(REFUSED)


def main(signal: str, parent: str, identity: str, *argv: str) -> None:
    os.umask(0o077)
    try:
        take(identity)
    except OSError as error:
        sys.stderr.write(f"cannot take identity {identity}: {error}\n")
        sys.exit(REFUSED)
    die_with(int(parent), int(signal))
    os.execv(argv[0], argv)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
