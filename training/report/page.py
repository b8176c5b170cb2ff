"""One page of HTML that needs nothing else: figures and pictures inside, no script, no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from training.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #222; background: #fff;
       max-width: 1080px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; padding-top: .8rem; border-top: 2px solid #ddd; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { max-width: 46rem; }
p.absent { color: #555; font-style: italic; border-left: 4px solid #d9730d; padding-left: .8rem; }
p.lead { color: #444; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .92rem; max-width: 46rem; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0;
         border-bottom: 1px solid #e3e3e3; }
th { font-weight: 600; }
td.number, th.number { text-align: right; }
nav a { margin-right: 1rem; white-space: nowrap; color: #1f4e8c; }
pre { background: #f5f5f5; padding: .8rem; font-size: .82rem; white-space: pre-wrap; }
@media print {
  body { max-width: none; margin: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2 { break-after: avoid; border-top: 0; }
  figure, table, tr { break-inside: avoid; }
}
"""


def page(title: str, subtitle: str, sections: Iterable[tuple[str, str]]) -> str:
    """The document from ``(heading, body)`` pairs."""
    sections = list(sections)
    links = "".join(
        f'<a href="#s{i}">{escape(heading)}</a> ' for i, (heading, _) in enumerate(sections)
    )
    body = "".join(
        f'<section id="s{i}"><h2>{escape(heading)}</h2>{content}</section>\n'
        for i, (heading, content) in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(subtitle)}</p><nav>{links}</nav>\n'
        f"{body}</body></html>\n"
    )


def escape(text: object) -> str:
    """Text as it is safe in HTML, attributes included."""
    return html.escape(str(text))


def paragraph(text: str, kind: str = "") -> str:
    """One paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(rows: Iterable[Iterable[object]], heading: Iterable[object] = ()) -> str:
    """Rows of plain text and numbers; the first column names the row."""

    def cell(tag: str, value: object) -> str:
        number = isinstance(value, int | float)
        text = f"{value:,}" if isinstance(value, int) else value
        text = f"{value:.3f}" if isinstance(value, float) else text
        kind = ' class="number"' if number else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    rows = [list(row) for row in rows]
    numbers = [isinstance(value, int | float) for value in rows[0]] if rows else []
    head = "".join(
        f"<th{' class=number' if number else ''}>{escape(name)}</th>"
        for name, number in zip(heading, numbers, strict=False)
    )
    body = "".join(
        f"<tr>{cell('th', row[0])}{''.join(cell('td', value) for value in row[1:])}</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def drawing(figure: Figure, caption: str, width: float | None = None) -> str:
    """A chart as vector graphics, letters included, so that it looks alike everywhere."""
    import matplotlib

    stream = io.BytesIO()
    # Without a date and with fixed names inside, the same run gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "napari-ink"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _figure("svg+xml", stream.getvalue(), caption, width or 96 * figure.get_figwidth())


def picture(figure: Figure, caption: str) -> str:
    """A figure of pixels, for maps."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=170)
    return _figure("png", stream.getvalue(), caption, 96 * figure.get_figwidth())


def photograph(png: bytes, caption: str) -> str:
    """A PNG as it is."""
    return _figure("png", png, caption, None)


def _figure(kind: str, data: bytes, caption: str, width: float | None) -> str:
    size = f' width="{width:.0f}"' if width else ""
    text = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}"{size} src="data:image/{kind};base64,{text}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def write(path: Path, text: str) -> None:
    """Write a page, of which a reader never sees half."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
