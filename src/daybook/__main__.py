"""`python -m daybook`."""

from daybook.cli.main import main

if __name__ == "__main__":
    main(prog_name="daybook")
