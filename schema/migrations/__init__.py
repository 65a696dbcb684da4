"""Alembic's versions; each runs the SQL file of its name in sql/."""
