"""What leads the report: how much of each defense is left, from no attack to an attacker who knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vqexp.audits.verdict import FALLEN, INCOMPLETE
from vqexp.core.config import CONF
from vqexp.core.text import literal
from vqexp.reports.analysis.names import column_title
from vqexp.reports.analysis.texts import interval_from, settings_from, share_from, size_from
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.render.lookup import Lookup
from vqexp.reports.render.row import markdown_row
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.reported import reported

LABELS = {
    "natural": "no attack",
    "ignores": "attacker ignores it",
    "knows": "attacker knows it",
    "certified": "proven",
    "without": "without the defense",
    "reported": "reported",
}
NOT_ROBUST, WEAKENED, UNDECIDED = "not robust", "weaker than claimed", "undecided"
NO_BREAK, NO_GAIN = "no break found", "no clear gain"  # over the same network without the defense
UNPROVEN, PARTLY, PROVEN = "nothing proven", "partly proven robust", "proven robust as reported"
ANSWERS = (NOT_ROBUST, WEAKENED, NO_GAIN, UNPROVEN, PARTLY, PROVEN, NO_BREAK, UNDECIDED)
OF_VERDICT = {"BROKEN": NOT_ROBUST, "WEAKENED": WEAKENED, "NO BREAK FOUND": NO_BREAK}
NONE = "No defense of the papers is audited yet: `python run.py -m table=audit dataset=cifar10 defense=swrd`."


@dataclass(frozen=True)
class Bar:
    """A value in percent, with its 95 % interval if it was measured. kind: one of `LABELS`."""

    kind: str
    label: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A defense on a data set. answer: one of `ANSWERS`. because: its reason. audit: the name of its page."""

    name: str
    on: str
    answer: str
    because: str
    bars: Sequence[Bar]
    audit: str = ""


@cache
def spec() -> Mapping[str, Any]:
    """Returns `conf/overview.yaml`."""
    return read_settings(CONF / "overview.yaml")


def overview(cells: Lookup, audits: Mapping[str, AuditPage]) -> list[Line]:
    """Returns a line for each audit, and for what `conf/overview.yaml` has beside them and is measured."""
    entries: dict[str, Mapping[str, Any]] = {
        each["audit"]: each for each in spec()["defenses"] if "audit" in each
    }
    found = [
        _audited(name, audit.head, cells, entries.get(name.rsplit("-", 1)[0], {}))
        for name, audit in audits.items()
    ]
    found += [
        line for each in spec()["defenses"] if "audit" not in each and (line := _certified(each, cells))
    ]
    order = {name: number for number, name in enumerate(spec()["order"])}
    return sorted(found, key=lambda line: (order.get(line.name, len(order)), line.name, line.on))


def summary(lines: Sequence[Line]) -> str:
    """Returns `Not robust: swRD, pRD. No break found: CTRW.`; of a defense on several data sets both."""
    on = {line.name: {other.on for other in lines if other.name == line.name} for line in lines}
    parts = []
    for answer in ANSWERS:
        names = [
            line.name + (f" ({line.on.split(',')[0]})" if len(on[line.name]) > 1 else "")
            for line in lines
            if line.answer == answer
        ]
        if names:
            parts.append(f"**{answer[0].upper()}{answer[1:]}:** {', '.join(map(literal, names))}.")
    return " ".join(parts) or NONE


def markdown(lines: Sequence[Line]) -> list[str]:
    """Returns the section in Markdown."""
    if not lines:
        return [NONE]
    heads = ["defense", "on", "answer", *LABELS.values(), "because"]
    rows = []
    for line in lines:
        told = {kind: _told([bar for bar in line.bars if bar.kind == kind]) for kind in LABELS}
        rows.append(
            [
                f"**{literal(line.name)}**",
                line.on,
                f"**{line.answer}**",
                *told.values(),
                literal(line.because),
            ]
        )
    table = [markdown_row(row) for row in (heads, ["---"] * len(heads), *rows)]
    return [summary(lines), "", spec()["text"].strip(), "", *table]


def _told(bars: Sequence[Bar]) -> str:
    texts = []
    for bar in bars:
        interval = " [{:.1f}, {:.1f}]".format(*bar.interval) if bar.interval and bar.kind == "knows" else ""
        more = bar.label.removeprefix(LABELS[bar.kind]).removeprefix(", ")
        label = f" ({more})" if more else ""
        texts.append(f"{bar.value:.1f}{interval}{label}")
    return "; ".join(texts)


def _audited(name: str, head: Mapping[str, str], cells: Lookup, more: Mapping[str, Any]) -> Line:
    settings = settings_from(head["settings"])
    bars = [
        _share("natural", head["natural"]),
        _share("ignores", head["ignores"]) or _measured("ignores", cells, more),
        _share("knows", head["worst"], head["interval"]),
        _measured("without", cells, more),
        _reported(cells, more) or _papers(head, settings),
    ]
    named = [f"{key}={settings[key]}" for key in ("s", "k") if key in settings]
    on = ", ".join([column_title(head["dataset"]), *named, f"eps {head['eps']}", f"n {head['n']}"])
    answer, because = _answer(head)
    if answer in (NO_BREAK, UNDECIDED) and _same(bars[2], bars[3]):
        because += "; no clear gain over the same network without the defense"
        answer = NO_GAIN if answer == NO_BREAK else answer
    return Line(head["defense"], on, answer, because, [bar for bar in bars if bar], name)


def _same(knows: Bar | None, without: Bar | None) -> bool:
    """Whether the network keeps as much without the defense as the interval with it allows."""
    return bool(knows and knows.interval and without and without.value >= knows.interval[0])


def _answer(head: Mapping[str, str]) -> tuple[str, str]:
    """The verdict in a word, and in full; an unfinished audit may have found enough."""
    verdict = head["verdict"]
    if verdict.startswith(INCOMPLETE):
        if head["worst"] and interval_from(head["interval"])[1] < FALLEN:
            return (
                NOT_ROBUST,
                f"{head['worst'].split()[0]} % left, and more attacks only lower it. Audit: {verdict}",
            )
        return UNDECIDED, f"Audit: {verdict}"
    return OF_VERDICT.get(verdict, UNDECIDED), f"Audit: {verdict}, {head['checks']} checks held"


def _certified(each: Mapping[str, Any], cells: Lookup) -> Line | None:
    """The line of a defense that is not audited: what is certified, beside what the paper says is."""
    places = [("certified", {"certified": cell}) for cell in each.get("certified", [])]
    proven = [bar for kind, cell in places if (bar := _measured(kind, cells, cell))]
    claim = _reported(cells, each)
    if not proven or claim is None:
        return None
    others = [_measured(kind, cells, each) for kind in ("natural", "ignores", "knows", "without")]
    *first, last = (f"{bar.value:.1f} % ({bar.label.removeprefix('proven, ')})" for bar in proven)
    shares = " and ".join(filter(None, [", ".join(first), last]))
    text = f"Proven for {shares} of the images; reported: {claim.value:.1f} %; not audited"
    shown = [*(bar for bar in others if bar), *proven, claim]
    return Line(each["name"], each["where"], _proven(proven, claim), text, shown)


def _proven(proven: Sequence[Bar], claim: Bar) -> str:
    """One of the answers of a certificate, from what is proven, at the report's radius last."""
    intervals = [bar.interval or (bar.value, bar.value) for bar in proven]
    if intervals[-1][1] >= claim.value:
        return PROVEN
    return PARTLY if any(low > 0 for low, _ in intervals) else UNPROVEN


def _share(kind: str, text: str, interval: str = "") -> Bar | None:
    share = share_from(text)
    if share is None:
        return None
    low, high = interval_from(interval) if interval else (share, share)
    return Bar(kind, LABELS[kind], 100 * share, (100 * low, 100 * high) if interval else None)


def _measured(kind: str, cells: Lookup, each: Mapping[str, Any]) -> Bar | None:
    """A bar of a cell: `KIND: [table, row, column]`, or `KIND: {label, cell}`."""
    label, where = _place(kind, each)
    estimate = cells.measured(where) if where else None
    if estimate is None:
        return None
    low, high = estimate.ci95
    return Bar(kind, label, estimate.scale * estimate.mean, (estimate.scale * low, estimate.scale * high))


def _reported(cells: Lookup, each: Mapping[str, Any]) -> Bar | None:
    label, where = _place("reported", each)
    value = cells.reported(where) if where else None
    return None if value is None else Bar("reported", label, value)


def _place(kind: str, each: Mapping[str, Any]) -> tuple[str, Sequence[str] | None]:
    given = each.get(kind)
    if isinstance(given, Mapping):
        return given["label"], given["cell"]
    return LABELS[kind], given


def _papers(head: Mapping[str, str], settings: Mapping[str, Any]) -> Bar | None:
    """What the papers' tables report against an attacker who knows the defense, or else who ignores it."""
    claims = reported(head["dataset"], head["defense"], settings, size_from(head["eps"]))
    claim = claims.get("knows") or claims.get("ignores")
    if claim is None:
        return None
    named = ", ".join(f"{name}={value}" for name, value in claim.settings.items())
    return Bar("reported", LABELS["reported"] if claim.own else f"reported, {named}", claim.value)
