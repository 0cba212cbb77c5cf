"""Drawings that stand where the demo shows a photo that may not be shipped.

The demo's dishes were learned from vectors of photos. A drawing shows the dish that such a photo
is of, seen from above, and every photo has its own: its digest is the seed. No model ever sees one.
"""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from classifr import demo

SIDE = 320
MIDDLE = SIDE / 2
TABLES = ("#b98a5a", "#8c6a4f", "#d9cbb3", "#6f7f86", "#c7d3cf", "#a9765b", "#e5e0d8", "#56606b")
PLATES = (("#f3efe6", "#e7e1d3"), ("#ffffff", "#eceff1"), ("#dfe7ea", "#cdd8dd"))
BOWLS = (("#3a3634", "#26221f"), ("#4c5a66", "#36424c"), ("#6b4a3a", "#4f3427"))
HERBS = ("#3f8f3a", "#2f7a3d", "#5aa043")


def draw_sample(sha256: str) -> str:
    """Return the drawing of a sample as SVG; an empty plate if it is none of the demo's own."""
    dice = Random(sha256)  # noqa: S311 (a drawing is no secret)
    draw = DRAWERS.get(_dishes(demo.VECTORS).get(sha256, ""), _empty_plate)
    table = dice.choice(TABLES)
    parts = [f'<path fill="{table}" d="M0 0h{SIDE}v{SIDE}H0z"/>', *_grain(dice)]
    parts += draw(dice)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" '
        f'width="{SIDE}" height="{SIDE}">{"".join(parts)}</svg>'
    )


@cache
def _dishes(path: Path) -> dict[str, str]:
    return demo.dishes_by_digest(path)


def _grain(dice: Random) -> list[str]:
    """Return the lines of a wooden table, or of a cloth."""
    step = dice.choice((38, 52, 76))
    lines = "".join(f"M0 {y}h{SIDE}" for y in range(step // 2, SIDE, step))
    if dice.random() < 0.4:
        lines += "".join(f"M{x} 0v{SIDE}" for x in range(step // 2, SIDE, step))
    return [f'<path stroke="#000" stroke-opacity=".1" stroke-width="3" d="{lines}"/>']


def _empty_plate(dice: Random) -> list[str]:
    rim, inner = dice.choice(PLATES)
    return _round(rim, inner, dice.uniform(134, 148))


def _bowl(dice: Random) -> list[str]:
    rim, inner = dice.choice(BOWLS)
    return _round(rim, inner, dice.uniform(132, 146))


def _round(rim: str, inner: str, radius: float) -> list[str]:
    return [
        f'<circle cx="166" cy="170" r="{radius:.0f}" opacity=".22"/>',
        f'<circle cx="160" cy="160" r="{radius:.0f}" fill="{rim}"/>',
        f'<circle cx="160" cy="160" r="{radius * 0.84:.0f}" fill="{inner}"/>',
    ]


def _blob(dice: Random, colour: str, radius: float) -> str:
    """Return a round patch with an uneven border."""
    count = 9
    reach = [radius * dice.uniform(0.88, 1.06) for _corner in range(count)]
    corners = [_polar(reach[k], 2 * math.pi * k / count) for k in range(count)]
    middles = [
        ((ax + bx) / 2, (ay + by) / 2)
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True)
    ]
    path = f"M{middles[-1][0]:.0f} {middles[-1][1]:.0f}" + "".join(
        f"Q{x:.0f} {y:.0f} {mx:.0f} {my:.0f}"
        for (x, y), (mx, my) in zip(corners, middles, strict=True)
    )
    return f'<path fill="{colour}" d="{path}z"/>'


def _polar(radius: float, angle: float) -> tuple[float, float]:
    return MIDDLE + radius * math.cos(angle), MIDDLE + radius * math.sin(angle)


def _scattered(dice: Random, count: int, radius: float, shape: Callable[[], str]) -> list[str]:
    """Return copies of a shape, drawn around 0 0, turned and spread evenly over a circle."""
    placed = []
    turn = dice.uniform(0, math.tau)
    for number in range(count):
        # The spiral of a sunflower, a little disturbed: even, and never in rows
        reach = radius * math.sqrt((number + 0.5) / count) + dice.uniform(-4, 4)
        x, y = _polar(reach, turn + number * 2.39996 + dice.uniform(-0.15, 0.15))
        placed.append(
            f'<g transform="translate({x:.0f} {y:.0f})rotate({dice.randrange(360)})">{shape()}</g>'
        )
    dice.shuffle(placed)
    return placed


def _leaf(dice: Random) -> str:
    colour = dice.choice(HERBS)
    return (
        f'<path fill="{colour}" d="M-15 0Q0-15 15 0Q0 15-15 0z"/>'
        '<path stroke="#fff" stroke-opacity=".45" d="M-12 0h22"/>'
    )


def _bibimbap(dice: Random) -> list[str]:
    toppings = ["#e8862e", "#3f7d3a", "#7a4a30", "#e9dfb4", "#c23a2b", "#b9986d", "#7fb24a"]
    dice.shuffle(toppings)
    toppings = toppings[: dice.choice((5, 6))]
    parts = [*_bowl(dice), '<circle cx="160" cy="160" r="108" fill="#f6f2e8"/>']
    turn, share = dice.uniform(0, math.tau), math.tau / len(toppings)
    for number, colour in enumerate(toppings):
        for _strip in range(16):
            angle = turn + share * (number + dice.uniform(0.08, 0.92))
            x, y = _polar(dice.uniform(50, 98), angle)
            parts.append(
                f'<rect x="-17" y="-4" width="34" height="8" rx="4" fill="{colour}" stroke="#000" '
                f'stroke-opacity=".18" transform="translate({x:.0f} {y:.0f})'
                f'rotate({math.degrees(angle) + dice.uniform(-25, 25):.0f})"/>'
            )
    parts.append(_blob(dice, "#fffdf7", 46))
    x, y = 160 + dice.uniform(-8, 8), 160 + dice.uniform(-8, 8)
    parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="21" fill="#f5b32c"/>')
    parts.append(f'<circle cx="{x - 6:.0f}" cy="{y - 7:.0f}" r="5" fill="#fff" opacity=".6"/>')
    sesame = '<ellipse rx="3" ry="1.8" fill="#f3e3bd" stroke="#8a6d3b" stroke-width=".6"/>'
    return parts + _scattered(dice, 22, 100, lambda: sesame)


def _edamame(dice: Random) -> list[str]:
    greens = ("#6fae45", "#5c9b3a", "#83bd57", "#4f8d35")

    def pod() -> str:
        colour, bend = dice.choice(greens), dice.randrange(-8, 9)
        beans = dice.choice((2, 3, 3))
        bumps = "".join(
            f'<circle cx="{(number - (beans - 1) / 2) * 21:.0f}" cy="{bend / 3:.0f}" r="11.5" '
            'fill="#fff" fill-opacity=".2"/>'
            for number in range(beans)
        )
        half = beans * 13
        return (
            f'<path fill="{colour}" stroke="#2f5d22" stroke-opacity=".55" stroke-width="1.5" '
            f'd="M{-half} 0Q{-half // 2} {bend - 22} 0 {bend - 15}T{half} 0'
            f'Q{half // 2} {bend + 22} 0 {bend + 15}T{-half} 0z"/>'
            f'<path stroke="#2f5d22" stroke-width="3" d="M{half} 0l9-3"/>{bumps}'
        )

    salt = '<rect width="3" height="3" fill="#fff"/>'
    plate = _bowl(dice) if dice.random() < 0.5 else _empty_plate(dice)
    return [
        *plate,
        *_scattered(dice, dice.randrange(20, 30), 88, pod),
        *_scattered(dice, 30, 96, lambda: salt),
    ]


def _gnocchi(dice: Random) -> list[str]:
    sauce, dough = dice.choice(
        (
            ("#bd4327", "#f1d998"),
            ("#7f9a45", "#f0dfa8"),
            ("#e9dcb4", "#f6e6b4"),
            ("#c98a2f", "#f3d88f"),
            ("#efe6d2", "#e9cf8c"),
        )
    )

    def dumpling() -> str:
        return (
            '<ellipse cx="2" cy="4" rx="22" ry="15" opacity=".22"/>'
            f'<ellipse rx="22" ry="15" fill="{dough}"/>'
            '<path fill="none" stroke="#c9a352" stroke-width="2.2" '
            'd="M-11-11q4 11 0 22M-2-13q4 13 0 26M7-12q4 12 0 24"/>'
        )

    return [
        *_empty_plate(dice),
        _blob(dice, sauce, 98),
        *_scattered(dice, dice.randrange(15, 24), 82, dumpling),
        *_scattered(dice, dice.randrange(3, 7), 62, lambda: _leaf(dice)),
    ]


def _risotto(dice: Random) -> list[str]:
    cream, grain, topping = dice.choice(
        (
            ("#e9b949", "#f6d98a", "#b5402c"),
            ("#d9c7a0", "#efe3c6", "#7b5536"),
            ("#bccb86", "#e2e8bf", "#4f8f3d"),
            ("#b14767", "#e3a0b4", "#f3ead2"),
            ("#eadfc2", "#f8f1dd", "#3f8f3a"),
        )
    )

    rice = '<ellipse rx="7" ry="3.4"/>'

    def piece() -> str:
        size = dice.randrange(6, 12)
        return (
            f'<ellipse rx="{size}" ry="{size * 0.7:.0f}" fill="{topping}" stroke="#000" '
            'stroke-opacity=".2"/>'
        )

    def shaving() -> str:
        return '<path fill="#f7e9b5" stroke="#cdb469" d="M-18-5L14-9L19 4L-12 8z"/>'

    return [
        *_empty_plate(dice),
        _blob(dice, cream, 104),
        f'<g fill="{grain}" stroke="#6b4a1e" stroke-opacity=".28">',
        *_scattered(dice, 190, 97, lambda: rice),
        "</g>",
        *_scattered(dice, dice.randrange(7, 15), 78, piece),
        *_scattered(dice, dice.choice((0, 3, 5)), 50, shaving),
        *_scattered(dice, dice.choice((1, 2, 4)), 34, lambda: _leaf(dice)),
    ]


def _sushi(dice: Random) -> list[str]:
    board = dice.choice(("#2d3236", "#8a6a48", "#f2efe9", "#39434a"))
    fills = ("#f0814f", "#c7374a", "#6fae45", "#f2c14b")

    def maki(x: float, y: float) -> str:
        fill = dice.choice(fills)
        return (
            f'<g transform="translate({x:.0f} {y:.0f})">'
            '<circle cx="3" cy="4" r="27" opacity=".25"/>'
            '<circle r="27" fill="#1f2a24"/><circle r="22" fill="#f8f6f0"/>'
            f'<circle r="9" fill="{fill}"/>'
            f'<circle cx="5" cy="-4" r="4" fill="{dice.choice(fills)}"/></g>'
        )

    def nigiri(x: float, y: float) -> str:
        fish = dice.choice(("#f0814f", "#c7374a", "#f5b39a"))
        return (
            f'<g transform="translate({x:.0f} {y:.0f})rotate({dice.randrange(-8, 9)})">'
            '<rect x="-20" y="-31" width="44" height="70" rx="18" opacity=".22"/>'
            '<rect x="-20" y="-34" width="40" height="68" rx="17" fill="#f8f6f0"/>'
            f'<rect x="-22" y="-30" width="44" height="60" rx="14" fill="{fish}"/>'
            '<path stroke="#fff" stroke-opacity=".6" stroke-width="3" '
            'd="M-20-14l38-9M-21 2l42-10M-21 18l42-10"/></g>'
        )

    rows = [dice.choice((maki, nigiri)) for _row in range(3)]
    parts = [
        '<rect x="24" y="44" width="284" height="246" rx="12" opacity=".25"/>',
        f'<rect x="18" y="36" width="284" height="246" rx="12" fill="{board}"/>',
    ]
    for row, shape in enumerate(rows):
        for column in range(dice.choice((3, 4, 4))):
            parts.append(shape(58 + column * 66 + dice.uniform(-4, 4), 82 + row * 78))
    ginger = '<path fill="#f3b6b2" stroke="#d98b8b" d="M-13 0Q-6-12 4-6T14 4Q2 14-13 0z"/>'
    parts.append(f'<g transform="translate(276 {dice.randrange(230, 256)})">{ginger}</g>')
    parts.append(f'<circle cx="280" cy="{dice.randrange(66, 92)}" r="12" fill="#9fbf63"/>')
    return parts


def _tiramisu(dice: Random) -> list[str]:
    cream, sponge = dice.choice(
        (("#f7ecd2", "#a9713f"), ("#f4e4c0", "#8f5b33"), ("#fbf4e4", "#b98352"))
    )
    turn, layers = dice.randrange(-24, 25), dice.choice((2, 3))
    height = 84 / layers
    front = "".join(
        f'<path fill="{sponge}" d="M72 {176 + number * height:.0f}h176v{height * 0.55:.0f}H72z"/>'
        for number in range(layers)
    )
    cocoa = ""
    for _speck in range(90):
        down = dice.uniform(0.06, 0.94)  # the top is a parallelogram
        x, y = 98 - 26 * down + dice.uniform(4, 168), 78 + 88 * down
        tone = dice.choice(("#2f1a10", "#7a4d31"))
        cocoa += (
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{dice.choice((1, 1.6, 2.4))}" fill="{tone}"/>'
        )
    # As in all pictures of it: from above at a slant, or nobody would see the layers
    cake = (
        f'<g transform="rotate({turn} 160 160)"><path opacity=".22" d="M80 100h200v164H80z"/>'
        f'<path fill="{cream}" d="M72 164h176v92H72z"/>{front}'
        f'<path fill="#4a2c1b" d="M72 166L98 78H272L248 166z"/>'
        f'<path fill="{cream}" d="M248 166L272 78V164L248 256z"/>'
        f'<path fill="{sponge}" opacity=".8" d="M248 186L272 98V122L248 212z"/>'
        f"{cocoa}</g>"
    )
    extras = _scattered(dice, dice.choice((0, 1, 2)), 20, lambda: _leaf(dice))
    return [*_empty_plate(dice), cake, *extras]


DRAWERS = {
    "bibimbap": _bibimbap,
    "edamame": _edamame,
    "gnocchi": _gnocchi,
    "risotto": _risotto,
    "sushi": _sushi,
    "tiramisu": _tiramisu,
}
