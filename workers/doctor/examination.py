"""All checks in order. A part that is away is a finding, and the others are looked at all the same."""

import os
import time
from collections.abc import Callable, Iterator

import psycopg
from redis.exceptions import RedisError

from workers.doctor import broker, clocks, database, flower, keys, logins, names, work
from workers.doctor.clocks import Reading
from workers.doctor.patient import Patient
from workers.doctor.result import Result, unseen, wrong
from workers.doctor.storage import Storage
from workers.telemetry import redact


def examine(patient: Patient) -> Iterator[Result]:
    """Takes seconds; about ten for each server that does not answer at all."""
    readings: dict[str, Reading] = {}
    yield from names.judge(os.environ)
    yield from _part("database", "DATABASE_URL", patient, lambda: _database(patient, readings))
    yield from _part("broker", "REDIS_URL", patient, lambda: _broker(patient, readings))
    yield from _part("bucket", "RECORDINGS_BUCKET", patient, lambda: _storage(patient, readings))
    yield from _part("flower", "FLOWER_URL", patient, lambda: flower.check(patient))
    yield from clocks.judge(readings)


def _part(part: str, setting: str, patient: Patient, look: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    if not patient.get(setting):
        yield unseen(part, f"not checked: {setting} is not set")
        return
    try:
        yield from look()
    except psycopg.Error as error:
        yield wrong(
            part, f"PostgreSQL cannot be used: {redact(str(error).strip())}", "is it up, and DATABASE_URL right?"
        )
    except RedisError as error:
        yield wrong(part, f"Redis cannot be used ({type(error).__name__})", "is it up, and REDIS_URL right?")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are still to be looked at
        yield wrong(
            part, f"could not be looked at ({type(error).__name__}: {redact(str(error))})", f"is {setting} right?"
        )


def _database(patient: Patient, readings: dict[str, Reading]) -> Iterator[Result]:
    dsn = database.plain(patient.get("DATABASE_URL"))
    with database.connect(dsn) as connection:
        yield from database.check(connection, dsn)
        yield from logins.check(connection, dsn, patient.passwords())
        yield from keys.check(connection, patient)
        yield from work.check(connection)
        before_s = time.time()
        ((theirs_s,),) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        readings["PostgreSQL"] = Reading.between(before_s, theirs_s, time.time())


def _broker(patient: Patient, readings: dict[str, Reading]) -> Iterator[Result]:
    url = patient.get("REDIS_URL")
    with broker.connect(url) as client:
        yield from broker.check(client, url)
        before_s = time.time()
        if reading := broker.clock(client):
            readings["Redis"] = Reading.between(before_s, reading, time.time())


def _storage(patient: Patient, readings: dict[str, Reading]) -> Iterator[Result]:
    with Storage(patient) as storage:
        yield from storage.check(readings)
