"""The benchmark: this system beside what people write instead, and beside what the machine allows, in one run.

Everything here is a ratio within one interleaved run on one machine. Nothing here is imported by the system.
"""
