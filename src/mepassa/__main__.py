"""`python -m mepassa`: the same as `mepassa`."""

from mepassa.cli.main import main

main()
