"""List known vulnerabilities of the installed packages: python scripts/advisories.py.

Exits with 1 if there are any. Where no advisory database can be reached, says so and exits with 0.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

SECONDS = 300  # more says that no database answers


def verdict(found: list[dict[str, Any]]) -> tuple[str, bool]:
    """What to say of pip-audit's list of packages, and whether any of them is vulnerable."""
    audited = [package for package in found if "skip_reason" not in package]
    if not audited:
        return "skipped: no advisory database can be reached", False
    lines = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        f" (mended in {', '.join(flaw['fix_versions']) or 'no version yet'})"
        for package in audited
        for flaw in package["vulns"]
    ]
    told = f"known vulnerabilities: {len(lines)}, in {len(audited)} of {len(found)} packages looked up"
    return "\n".join([*lines, told]), bool(lines)


def main() -> None:
    """Run pip-audit, print the verdict, and exit."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    command = [uv, "tool", "run", "pip-audit", "--path", sysconfig.get_path("purelib")]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, OSError):
        found = []
    told, vulnerable = verdict(found)
    print(f"advisories: {told}")
    sys.exit(vulnerable)


if __name__ == "__main__":
    main()
