"""Flower's configuration file (``--conf``), which it runs in its own process before it listens."""

from workers.flower.gate import shut

shut()
