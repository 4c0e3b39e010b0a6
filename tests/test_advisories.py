"""What is said of pip-audit's findings."""

import runpy
from pathlib import Path

verdict = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "advisories.py"))["verdict"]

UNKNOWN = {"name": "a", "skip_reason": "Dependency not found and could not be audited: a (1.0)"}
SOUND = {"name": "b", "version": "2.0", "vulns": []}
FLAWED = {"name": "c", "version": "3.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1"]}]}


def test_packages_that_could_not_be_looked_up_are_not_called_sound():
    assert verdict([]) == verdict([UNKNOWN]) == ("skipped: no advisory database can be reached", False)


def test_vulnerabilities_are_listed():
    told, vulnerable = verdict([UNKNOWN, SOUND, FLAWED])
    assert vulnerable
    assert told.splitlines() == [
        "c 3.0: CVE-1 (mended in 3.1)",
        "known vulnerabilities: 1, in 2 of 3 packages looked up",
    ]
    assert not verdict([UNKNOWN, SOUND])[1]
