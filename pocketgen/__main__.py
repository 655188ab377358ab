"""`python -m pocketgen`: the command line."""

from __future__ import annotations

from pocketgen.cli import main

if __name__ == "__main__":
    main(prog_name="pocketgen")
