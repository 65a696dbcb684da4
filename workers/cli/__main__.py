"""``python -m workers.cli``: the same command, without a script on the PATH."""

from workers.cli import main

main()
