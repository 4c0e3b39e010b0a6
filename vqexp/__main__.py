"""python -m vqexp: the command line, as `run.py` and `vqexp` give it."""

from vqexp.cli import main

if __name__ == "__main__":
    main()
