"""Programs that use the pipeline and are no part of it."""
