"""The report's first lines: how accurate each defense remains once the attacker knows it."""

from collections.abc import Mapping

from vqexp.audits.verdict import INCOMPLETE
from vqexp.core.text import literal
from vqexp.reports.analysis.texts import settings_from, share_from, size_from
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.spec.reported import ATTACKERS, Reported, reported

NONE = "No defense of the papers is audited yet: `python run.py -m table=audit dataset=cifar10 defense=swrd`."


def finding(audits: Mapping[str, AuditPage]) -> list[str]:
    """Returns a line for each audited defense of which a paper reports something on that dataset and eps."""
    lines = [line for audit in audits.values() if (line := _line(audit.head))]
    return lines or [NONE]


def _line(head: Mapping[str, str]) -> str:
    settings = settings_from(head["settings"])
    claims = reported(head["dataset"], head["defense"], settings, size_from(head["eps"]))
    if not set(claims) - {"none"} or not head["worst"]:
        return ""
    clean, ignored, known = (_percent(share_from(head[name])) for name in ("natural", "ignores", "worst"))
    papers = " -> ".join(_reported(claims, who) for who in ATTACKERS)
    verdict = f"Unfinished: {head['verdict']}" if head["verdict"].startswith(INCOMPLETE) else head["verdict"]
    return (
        f"- **{literal(head['defense'])}** ({_named(settings)}) on {head['dataset']}, eps {head['eps']}: "
        f"{clean} right without attack -> {ignored} against an attacker who ignores it -> **{known}** "
        f"{head['interval']} against one who knows it (n {head['n']}). Reported: {papers}. **{verdict}**"
    )


def _reported(claims: Mapping[str, Reported], who: str) -> str:
    """Returns `68.4 %`, or `68.4 % (at s=2, k=15)` if the paper's settings differ from the audit's."""
    if who not in claims:
        return "not given"
    claim = claims[who]
    return _percent(claim.value / 100) + ("" if claim.own else f" (at {_named(claim.settings)})")


def _named(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={settings[name]}" for name in ("s", "k") if name in settings)


def _percent(share: float | None) -> str:
    return "not run" if share is None else f"{100 * share:.1f} %"
