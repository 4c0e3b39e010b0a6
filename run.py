"""python run.py defense=swrd attack=pgd: run one experiment, or with -m many. See --help."""

from vqexp.cli import main

if __name__ == "__main__":
    main()
