"""The database's logins by name, and their passwords."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

OWNER = "recordings_owner"
DISPATCHER = "recording_dispatcher"
WORKER = "recording_worker"
CALL_HANDLER = "call_handler"
OPERATOR = "recording_ops"
AUTHENTICATOR = "authenticator"

LOGINS = (DISPATCHER, WORKER, CALL_HANDLER, OPERATOR, AUTHENTICATOR)


class UnsafeLoginError(Exception):
    """The login could see or change what the process must not, so the process refuses to start with it."""


def set_passwords(database_url: str, passwords: Mapping[str, str]) -> None:
    """Give logins their passwords, as administrator.

    What travels, and what the server's statement log could show, is the SCRAM verifier, never the password.
    """
    with psycopg.connect(database_url) as connection:
        for login, password in passwords.items():
            verifier = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), sql.Literal(verifier.decode()))
            )


# Membership counts: a login that may SET ROLE to one of these is as good as one.
_UNSAFE = """
SELECT current_user,
       EXISTS (SELECT FROM pg_roles AS r
               WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(current_user, r.oid, 'MEMBER')),
       EXISTS (SELECT FROM pg_class AS c
               WHERE c.oid = to_regclass('public.recording_upload_queue')
                 AND pg_has_role(current_user, c.relowner, 'MEMBER'))
"""


def refuse_unsafe_login(database_url: str, *, wanted: str) -> None:
    """Raise ``UnsafeLoginError`` where the login is superuser, has BYPASSRLS or owns the tables, itself or as a member.

    Row-level security does not bind such a login, and nothing that this project promises would hold (section 3).
    """
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_UNSAFE).fetchone()
    if row is None:
        return
    login, bypasses, owns = row
    if bypasses or owns:
        why = "is superuser or has BYPASSRLS, or may become so" if bypasses else "owns the tables"
        message = (
            f"DATABASE_URL logs in as {login}, which {why}: row-level security would not bind it. "
            f"Use the login {wanted} instead (its password is set by: recordings migrate)."
        )
        raise UnsafeLoginError(message)
