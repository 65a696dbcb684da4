"""Celery's settings, by their own names (docs: userguide/configuration).

A message is a doorbell: everything here is chosen so that losing, doubling or delaying one costs latency and nothing
else. What is absent is meant: no result backend (the row is the result), no beat (the dispatcher is the clock), no
countdown, no automatic retry (the row's next_attempt_at is the one authority). The broker's URL is not here either: it
is REDIS_URL, read when a process starts.
"""

from kombu import Queue

# What travels: ids, as JSON, and nothing else is accepted.
task_serializer = event_serializer = result_serializer = "json"
accept_content = ["json"]
# Sweeps have a queue of their own, so that no upload waits in line behind one; downloads too, since a user waits; and
# exports, which take minutes. Renditions need processors: their queue is served where it is asked for (tasks/app.py).
task_queues = [Queue("upload"), Queue("download"), Queue("export"), Queue("maintenance"), Queue("rendition")]
task_default_queue = "upload"
task_create_missing_queues = False

# The row is the result.
result_backend = None
task_ignore_result = True
task_store_errors_even_if_ignored = False

# Acknowledged when done, so that a worker that stops gives its doorbells back; one in hand per slot, so that none waits
# behind a long transfer. A task that lost its worker is not run again from here: its lease runs out (law 1).
task_acks_late = True
task_acks_on_failure = True
task_acks_on_timeout = True
task_reject_on_worker_lost = False
worker_prefetch_multiplier = 1

# Threads: uploads wait on networks, and one process of threads needs a tenth of the memory of as many processes. What
# threads do not have, Celery's time limits, the copy brings itself: a deadline, timeouts, and a lease.
worker_pool = "threads"
worker_concurrency = 8

broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_pool_acquire_timeout = 10
broker_transport_options = {
    "global_keyprefix": "rec:",
    # What is in hand is not written down in Redis, to be given back after a visibility timeout: the mark on the row
    # runs out long before. So there is none to choose, and a message costs two transactions less (decision 30).
    "ack_emulation": False,
    "max_connections": 64,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}

# Flower reads these events, by the dozen. They carry the arguments: ids (law 7).
worker_send_task_events = True
worker_consumer = "tasks.consumer:Consumer"
task_send_sent_event = False

# The process writes JSON lines by itself (workers/telemetry.py).
worker_hijack_root_logger = False
worker_redirect_stdouts = False

timezone = "UTC"
enable_utc = True
