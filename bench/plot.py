"""A bar chart as a PNG, drawn with Pillow, which is here anyway."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN = 1200, 40  # pixels
LABELS, FIGURES = 230, 90  # room to the left and to the right of the bars
BAR, GAP, HEAD = 26, 22, 90
COLOURS = ("#f2b705", "#3f7cac", "#95a3a4", "#8e5572", "#4f6d4b")
INK, PAPER, LINE = "#222222", "#ffffff", "#dddddd"


class Group(NamedTuple):
    """Bars that belong together: (whose, how much)."""

    title: str
    bars: list[tuple[str, float]]


def draw(path: Path, title: str, groups: list[Group]) -> None:
    names = [name for name, _ in groups[0].bars]
    height = HEAD + sum(len(group.bars) * BAR + GAP for group in groups) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    canvas = ImageDraw.Draw(image)
    canvas.text((MARGIN, 20), title, INK, ImageFont.load_default(24))
    draw_legend(canvas, names)
    longest = max(value for group in groups for _, value in group.bars)
    top = HEAD
    for group in groups:
        draw_group(canvas, group, top, (WIDTH - 2 * MARGIN - LABELS - FIGURES) / longest)
        top += len(group.bars) * BAR + GAP
    image.save(path, optimize=True)


def draw_legend(canvas: ImageDraw.ImageDraw, names: list[str]) -> None:
    font, left = ImageFont.load_default(18), WIDTH - MARGIN
    for name, colour in reversed(list(zip(names, COLOURS, strict=False))):
        left -= canvas.textlength(name, font) + 40
        canvas.rectangle((left, 26, left + 16, 42), colour)
        canvas.text((left + 24, 22), name, INK, font)


def draw_group(canvas: ImageDraw.ImageDraw, group: Group, top: int, scale: float) -> None:
    font, left = ImageFont.load_default(18), MARGIN + LABELS
    canvas.line((MARGIN, top - GAP / 2, WIDTH - MARGIN, top - GAP / 2), LINE)
    canvas.text((MARGIN, top), group.title, INK, font)
    for number, ((_, value), colour) in enumerate(zip(group.bars, COLOURS, strict=False)):
        y = top + number * BAR
        canvas.rectangle((left, y, left + value * scale, y + BAR - 4), colour)
        canvas.text((left + value * scale + 8, y), f"{value:.2f}", INK, font)
