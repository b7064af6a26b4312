"""Tables of figures for a terminal."""

from collections.abc import Iterable, Sequence


def table(title: str, header: str, rows: Iterable[Sequence[str]]) -> str:
    """Right-aligned columns; `header` holds the names of the columns, separated by `|`."""
    cells = [[name.strip() for name in header.split("|")], *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([f"\n{title}", *lines])


def number(value: float | None) -> str:
    """Three significant digits; empty if there is none."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
