"""Where the numbers on a page come from, as text: versions, commits, devices, dates."""

from collections.abc import Collection, Mapping

from vqexp.pipeline.record import Provenance, Record


def origin(records: Collection[Record]) -> str:
    """Names versions, commits, devices, dates, and how far an attack ever left the ball or the box."""
    found = [record.provenance for record in records]
    commits = sorted({f"{p.commit[:10]}{' (dirty)' if p.dirty else ''}" for p in found if p.commit})
    dates = sorted(p.date[:10] for p in found)
    worst = max(record.facts.get("violation", 0.0) for record in records)
    restored = sum(p.restored_from is not None for p in found)
    told = f" Of {len(found)} records {restored} are put together again from the CSV." if restored else ""
    return (
        f"Commit {', '.join(commits)}; {_versions(found)}{', '.join(sorted({p.device for p in found}))}; "
        f"torch {', '.join(sorted({p.libraries['torch'] for p in found}))}; {dates[0]} to {dates[-1]}; "
        f"largest violation of the ball or the box {worst:.1e}.{told}"
    )


def _versions(found: Collection[Provenance]) -> str:
    """Returns `vqexp 0.1.0; stages attack 3, metric 1 and 2; ` from the records that know them."""
    packages = sorted({p.version for p in found if p.version})
    stages: dict[str, set[int]] = {}
    for p in found:
        for group, number in p.versions.items():
            stages.setdefault(group, set()).add(number)
    text = f"vqexp {', '.join(packages)}; " if packages else ""
    told = [f"{group} {' and '.join(map(str, sorted(numbers)))}" for group, numbers in sorted(stages.items())]
    return text + (f"stages {', '.join(told)}; " if told else "")


def in_low_precision(record: Record) -> bool:
    """Whether the attack saw f in less than float32."""
    return bool(record.config.get("precision", "float32") != "float32")


def low_precision(records: Mapping[tuple[str, str], Record]) -> str:
    """Names the cells (row, column) that were run with `precision=bfloat16`, beside the command."""
    cells = [", ".join(cell) for cell, record in records.items() if in_low_precision(record)]
    return f" With `precision=bfloat16` besides: {'; '.join(cells)}." if cells else ""
