"""Inject faults and write the counts into results/reliability.md: python scripts/faults.py [KILLS]."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

if __name__ == "__main__":
    from measure import measured, page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=100, metavar="KILLS")
    kills = parser.parse_args().kills
    os.environ.pop("VQEXP_HOME", None)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), kills=kills, damages=10 * kills, settings=10 * kills)
    (ROOT / "results" / "reliability.md").write_text(page(found, f"make faults KILLS={kills}"))
    print(page(found, f"make faults KILLS={kills}"))
    sys.exit(any(bad for _, _, bad in found))
