"""Write results/ from the records in a store: python scripts/report.py [STORE] [FOLDER]."""

import sys

from vqexp.core.errors import ConfigError, WorkError
from vqexp.reports.render.report import write
from vqexp.results import default_root

if __name__ == "__main__":
    store, folder, *_ = [*sys.argv[1:], *[default_root(), "results"][len(sys.argv) - 1 :]]
    try:
        print("\n".join(map(str, write(store, folder))))
    except (ConfigError, WorkError, OSError) as error:
        sys.exit(f"vqexp: {error}")
