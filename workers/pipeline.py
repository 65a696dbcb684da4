"""The composition root of a worker process: the one place that turns settings into connections."""

from datetime import timedelta
from random import SystemRandom

from sqlalchemy import Engine, create_engine

from schema.pooler import suited_to_poolers
from workers.batch import Batches
from workers.circuit import Circuit
from workers.converter import Converter
from workers.copy import Limits
from workers.drain import Drain
from workers.encoding import Encoding
from workers.eraser import Eraser
from workers.exporter import Exporter
from workers.exports import Exports
from workers.links import Linker
from workers.queue import Queue
from workers.refused import Refusals
from workers.retry import RetryPolicy
from workers.role import SOON_S, Role
from workers.s3_client import sts_client
from workers.settings import WorkerSettings
from workers.sources import Fetcher
from workers.store import Store
from workers.stores import RoleStores, Storage
from workers.sweeper import Sweeper
from workers.upload import Uploader


def build_uploader(settings: WorkerSettings, *, worker: str, slots: int) -> Uploader:
    """Everything that the slots of a worker process share. Call it after the process has forked, never before: a
    connection used on both sides of a fork hands one side the other's rows."""
    store, drain = _store(settings, slots), Drain(settings.drain_s)
    engine = _engine(settings, slots)
    queue = Queue(engine, worker, timedelta(seconds=settings.lease_s))
    return Uploader(
        queue=queue,
        refusals=Refusals(engine, worker),
        fetcher=Fetcher(
            settings.private_source_networks,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        ),
        store=store,
        circuit=Circuit(store.check, SystemRandom()),
        limits=Limits(max_bytes=settings.max_bytes, deadline_s=settings.transfer_deadline_s),
        policy=RetryPolicy(
            base_s=settings.retry_base_s,
            cap_s=settings.retry_cap_s,
            max_age_s=settings.max_age_s,
            not_ready_for_s=settings.not_ready_for_s,
        ),
        seal_keys=settings.seal_keys,
        drain=drain,
        rng=SystemRandom(),
        batches=Batches(queue.give_back, is_over=lambda: drain.begun),
    )


def _store(settings: WorkerSettings, slots: int) -> Storage:
    # Silence of the store ends the attempt before it ends the lease, which would count as the worker's death: twice
    # this, for boto3 asks twice, within the two thirds that are left of a lease when it was renewed last.
    patience_s = max(3.0, settings.lease_s / 4)
    store = Store(
        bucket=settings.bucket,
        endpoint_url=settings.s3_endpoint_url,
        region=settings.region,
        sse=settings.sse,
        max_connections=slots * 2,
        timeout_s=min(30.0, patience_s),
        users_endpoint_url=settings.download_endpoint_url,
    )
    if settings.s3_role_arn is None:
        return store
    import boto3  # noqa: PLC0415 - 2 MB, where it is for nothing else

    sts = sts_client(boto3.session.Session(), region=settings.region, timeout_s=min(30.0, patience_s))
    return RoleStores(store, Role(sts, settings.s3_role_arn, settings.bucket, settings.sse))


def build_sweeper(settings: WorkerSettings, uploader: Uploader) -> Sweeper:
    """On the connections that the process has already."""
    return Sweeper(
        engine=uploader.queue.engine,
        refusals=uploader.refusals,
        store=uploader.store,
        drain=uploader.drain,
        lease=uploader.queue.lease,
        grace=timedelta(seconds=settings.sweep_grace_s),
    )


def build_eraser(uploader: Uploader) -> Eraser:
    """On the connections that the process has already."""
    return Eraser(uploader.queue.engine, uploader.refusals, uploader.store, uploader.drain)


def build_linker(settings: WorkerSettings, uploader: Uploader) -> Linker:
    """On the connections that the process has already."""
    lifetime = _lifetime(settings, settings.download_lifetime_s)
    return Linker(uploader.queue.engine, uploader.refusals, uploader.store, lifetime)


def build_converter(settings: WorkerSettings, uploader: Uploader) -> Converter:
    """On the connections that the process has already."""
    encoding = Encoding(settings.rendition_max_bytes, uploader.drain)
    return Converter(uploader.queue.engine, build_linker(settings, uploader), encoding)


def build_exporter(settings: WorkerSettings, uploader: Uploader) -> Exporter:
    """On the connections that the process has already."""
    queue = uploader.queue
    return Exporter(
        exports=Exports(queue.engine, queue.worker, queue.lease),
        refusals=uploader.refusals,
        store=uploader.store,
        drain=uploader.drain,
        lifetime=_lifetime(settings, settings.export_lifetime_s),
    )


def _lifetime(settings: WorkerSettings, wanted_s: int) -> timedelta:
    """A link ends with the credentials that signed it, and a role's may have as little left."""
    return timedelta(seconds=min(wanted_s, SOON_S) if settings.s3_role_arn else wanted_s)


def _engine(settings: WorkerSettings, slots: int) -> Engine:
    # A slot holds a connection for a statement at a time, never during a transfer: half as many would do as well, but a
    # slot that waits for one waits with a lease running.
    engine = create_engine(
        settings.sqlalchemy_url,
        pool_size=slots,
        max_overflow=2,
        pool_timeout=10,
        # A statement's parameters hold the grant, and an error of SQLAlchemy's repeats them.
        hide_parameters=True,
        # A dead network is noticed within a lease, idle or mid-statement; the system's own defaults are hours.
        connect_args={
            "application_name": "recordings-worker",
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    )
    return suited_to_poolers(engine)
