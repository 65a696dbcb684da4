"""Flower, closed: who may see it (login.py) and the gate in front of every route (gate.py)."""
