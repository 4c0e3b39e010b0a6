"""Download data sets and keep them as `<root>/<name>/{train,test}.parquet`.

python scripts/fetch_data.py mnist cifar10 --root data
"""

import argparse
import sys

from vqexp.core.errors import ConfigError, WorkError
from vqexp.data import fetch
from vqexp.data.published import PUBLISHED


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="+", choices=sorted(PUBLISHED), metavar="NAME", help=", ".join(PUBLISHED)
    )
    parser.add_argument("--root", required=True, help="the folder that holds all data sets (VQEXP_DATA)")
    arguments = parser.parse_args()
    try:
        for name in arguments.names:
            for path in fetch(name, arguments.root):
                print(path)
    except (ConfigError, WorkError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
