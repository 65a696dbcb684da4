"""What goes wrong for a user's reasons or a server's, as one clear message. Anything else is a bug, with a traceback.

Exit codes: 1 something is wrong out there, 2 the command was not used as it can be (settings count as that).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import psycopg

from schema.isolation import CannotAsk
from schema.pooler import TransactionPoolerError
from schema.roles import UnsafeLoginError
from workers.embedded.errors import EmbeddedError
from workers.settings import SettingsError
from workers.telemetry import redact


def _exit(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


@contextmanager
def plainly() -> Iterator[None]:
    try:
        yield
    except (CannotAsk, SettingsError, TransactionPoolerError, UnsafeLoginError) as error:
        _exit(str(error), 2)
    except EmbeddedError as error:
        _exit(str(error), 1)
    except KeyboardInterrupt:
        _exit("interrupted", 1)
    except psycopg.OperationalError as error:
        _exit(f"the database cannot be used: {redact(str(error).strip())}", 1)
    except psycopg.errors.InsufficientPrivilege as error:
        _exit(f"{_said(error)}. DATABASE_URL holds another role's login: see recordings env", 2)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
        _exit("the database has no schema of ours, or an older one: run recordings migrate as administrator", 1)
    except psycopg.errors.Error as error:
        _exit(_said(error), 2)


def _said(error: psycopg.Error) -> str:
    said = [error.diag.message_primary or type(error).__name__]
    if error.diag.message_hint:
        said.append(error.diag.message_hint)
    return ". ".join(redact(sentence) for sentence in said)
