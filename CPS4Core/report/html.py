"""One HTML file that holds everything: no scripts, no links, pictures inside."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from CPS4Core import __version__
from CPS4Core.errors import CPS4Error
from CPS4Core.files import write_text

GENERATOR = "CPS4 report"
HEAD_BYTES = 2000
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Text:
    """A paragraph; a `warning` stands out."""

    kind: ClassVar[str] = "text"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table; columns of numbers are aligned right, None and NaN are shown as a dash."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [
            any(isinstance(row[i], (int, float)) for row in self.rows)
            for i in range(len(self.head))
        ]


@dataclass(frozen=True)
class Figure:
    """A picture as data URI, with its description for those who cannot see it."""

    kind: ClassVar[str] = "figure"
    source: str
    alt: str
    caption: str = ""
    dark: bool = False


@dataclass(frozen=True)
class Code:
    """Text as it stands in a file."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks that are closed until asked for."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence[Any]


@dataclass
class Section:
    """One part of the report under its heading."""

    title: str
    blocks: list[Any] = field(default_factory=list)


def write_report(output_html: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write the report; an older report is replaced, any other file is left alone.

    Raises CPS4Error where something else stands at `output_html` or it cannot be written.
    """
    from jinja2 import Environment, PackageLoader

    check_output(output_html)
    environment = Environment(
        loader=PackageLoader("CPS4Core.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    template = environment.get_template("report.html.jinja")
    text = template.render(title=title, sections=sections, generator=f"{GENERATOR} {__version__}")
    write_text(output_html, text)


def check_output(path: str | Path) -> None:
    """Raise CPS4Error unless `path` is free or holds a report that this command wrote."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise CPS4Error(
            "The report is one HTML file", path=path, cure="Give a name that ends in .html"
        )
    if not path.exists():
        return
    try:
        with open(path, "rb") as file:
            ours = f'content="{GENERATOR}'.encode() in file.read(HEAD_BYTES)
    except OSError:
        ours = False
    if not ours:
        raise CPS4Error(
            "This file is not a report of cps4 and is not overwritten",
            path=path,
            cure="Choose another name for the report",
        )


def cell_text(value: Any) -> str:
    """How a table shows a value: three decimals at most, a dash for nothing."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def svg_source(svg: str) -> str:
    """An SVG text as data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def picture_source(path: str | Path) -> str:
    """A picture file as data URI, as JPEG where that is smaller.

    Raises CPS4Error for a missing or damaged picture.
    """
    from PIL import Image

    try:
        content = Path(path).read_bytes()
        compact = io.BytesIO()
        with Image.open(io.BytesIO(content)) as image:
            kind = Image.MIME.get(image.format or "", "image/png")
            image.convert("RGB").save(compact, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    except (OSError, SyntaxError, ValueError) as error:
        raise CPS4Error("The picture cannot be read", path=path) from error
    if compact.tell() < len(content):
        content, kind = compact.getvalue(), "image/jpeg"
    return f"data:{kind};base64," + base64.b64encode(content).decode()
