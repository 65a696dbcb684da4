"""What the compared copy from and to: a source that costs little, and sinks that accept and forget."""
