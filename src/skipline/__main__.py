"""`python -m skipline`: the command line."""

from skipline.cli.app import main

main()
