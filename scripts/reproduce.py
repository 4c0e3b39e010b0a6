"""Tables and figures, one after another: python scripts/reproduce.py vq_table1 vq_figure4 scale=smoke."""

import sys

from vqexp.cli import main
from vqexp.core.config import CONF


def reproduce(name: str, overrides: list[str]) -> int:
    """Run `-m table=NAME` or `-m figure=NAME`; returns its exit status."""
    kind = "figure" if (CONF / "figure" / f"{name}.yaml").exists() else "table"
    print(f"== {name}", flush=True)
    sys.argv = ["run.py", "-m", f"{kind}={name}", *overrides]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    names = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    failed = [name for name in names if reproduce(name, overrides) != 0]
    if failed:
        sys.exit(f"not reproduced, for the reasons above: {', '.join(failed)}")
