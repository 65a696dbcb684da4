"""The matrix as a document, for whoever has to believe it: Markdown, or one HTML file that needs nothing else."""

import html as escaping
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from schema.isolation import Report
from schema.isolation.planting import TABLES
from schema.isolation.rights import ROLES
from schema.isolation.summary import Square, squares, tried
from schema.lints import Finding
from workers.cli.isolation_view import GROUPS, next_step, told, verdict

_TITLE = "Isolation of organisations: what was tried"
_INTRO = (
    "Two organisations were made, with rows in every table, in a transaction that was rolled back. Every database role "
    "then tried to reach them, by every operation and under true, false and missing proof of for whom it acts. "
    "Each try is a cell: what it must come to was written down beforehand, by hand, and what it came to is what the "
    "database answered."
)
_LEGEND = (
    "✓ own: rows of the organisation that it proves. ✓ all: of every organisation. "
    "✓ add: it writes and reads nothing back. ✗: none. ‼: wrong cells."
)
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c2430;max-width:75rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:.85rem}div.wide{overflow-x:auto}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e7ec}
thead th{background:#f4f6f8;border-bottom:2px solid #cdd4dc}
.ok{color:#11632f}.no{color:#8b95a1}.bad{color:#b00020;font-weight:700}
p.verdict{font-size:1.15rem;padding:.7rem 1rem;border-left:5px solid;background:#f4f6f8}
code{font:.95em ui-monospace,monospace}
@media print{thead th{background:none}body{margin:0}}
"""

Rows = Iterable[Sequence[str]]


def markdown(report: Report, findings: Sequence[Finding], server: str) -> str:
    lines = [f"# {_TITLE}", "", f"**{_said(report, findings)}**", "", _about(server), "", _INTRO]
    for heading, note, columns, rows in _sections(report, findings):
        lines += ["", f"## {heading}", "", *([note, ""] if note else [])]
        lines += [_line(columns), _line(["---"] * len(columns)), *(_line(row) for row in rows)]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def html(report: Report, findings: Sequence[Finding], server: str) -> str:
    say = escaping.escape
    good = report.ok and not findings
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_TITLE}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{_TITLE}</h1>',
        f'<p class="verdict {"ok" if good else "bad"}">{say(_said(report, findings))}</p>',
        f"<p>{say(_INTRO)}</p><p>{say(_about(server))}</p>",
    ]
    for heading, note, columns, rows in _sections(report, findings):
        head = "".join(f"<th>{say(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(_td(cell, say) for cell in row)}</tr>" for row in rows)
        parts.append(f"<h2>{say(heading)}</h2>{f'<p>{say(note)}</p>' if note else ''}")
        parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')
    return "\n".join(parts)


def _td(cell: str, say: Callable[[str], str]) -> str:
    style = {"✓": "ok", "✗": "no", "‼": "bad"}.get(cell[:1], "")
    return f'<td class="{style}">{say(cell)}</td>' if style else f"<td>{say(cell)}</td>"


def _said(report: Report, findings: Sequence[Finding]) -> str:
    return ("No organisation reached another's rows: " if report.ok and not findings else "NOT ISOLATED: ") + verdict(
        report, findings
    )


def _about(server: str) -> str:
    return (
        f"PostgreSQL {server}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Again, at any time: recordings verify-isolation"
    )


def _sections(report: Report, findings: Sequence[Finding]) -> Iterable[tuple[str, str, Sequence[str], Rows]]:
    every = squares(report)
    if report.wrong:
        yield "What is wrong", f"Next: {next_step(report)}", ("Cell",), ([f"‼ {told(one)}"] for one in report.wrong)
    if findings:
        yield "What the static checks found", "", ("What", "Next"), ([one.sentence, one.remedy] for one in findings)
    for title, roles in GROUPS.items():
        yield f"Whose rows they reach: {title}", _LEGEND, ("Table", *roles), _marks(every, roles)
    whys = ([role.name, role.why] for role in ROLES)
    yield "Why no more", "", ("Role", "Why"), whys
    held = ([one.role, one.table, one.may, one.mark, f"{one.cells:,}"] for one in every if one.reach)
    yield "What each role may do", "Refused: all that is not here.", ("Role", "Table", "May", "Whose", "Cells"), held
    proofs = ([one.role, one.context, _mark(one.given, one.wrong), one.why, f"{one.cells:,}"] for one in tried(report))
    yield "Proof, true and false", "", ("Role", "Context", "Is given", "Why", "Cells"), proofs
    ways = sorted({result.cell.operation for result in report.cells})
    yield "Ways that were tried", "", ("Way",), ([way] for way in ways)


def _marks(every: Sequence[Square], roles: Sequence[str]) -> Rows:
    marks = {(square.role, square.table): square.mark for square in every}
    return ([table.name, *(marks[role, table.name] for role in roles)] for table in TABLES)


def _mark(given: str, wrong: int) -> str:
    return f"‼ {wrong}" if wrong else f"{'✓' if 'rows' in given else '✗'} {given}"
