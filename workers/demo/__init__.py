"""What `recordings demo` runs on: a provider of its own. Also used by the tests."""
