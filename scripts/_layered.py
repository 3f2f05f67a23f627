"""Boxes and arrows from top to bottom: each arrow points down, few cross. Pure arithmetic, always the same result.

The usual three steps (Sugiyama, Tagawa, Toda, 1981): rows by the longest way from the top, an order within each row by
counting crossings, then positions near the neighbours. An arrow that passes a row keeps a lane of its own there.
"""

from __future__ import annotations

import graphlib
import itertools
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)
Arrow = tuple[str, str]
Point = tuple[float, float]

LANE_PX = 10  # width of an arrow that passes between boxes
SWEEPS = 12
STRAIGHT = (1.0, 3.0, 6.0)  # how much dearer a bend within a lane is than one between boxes: each is tried
PULL = (0.0, 0.3, 1.0)  # how much a box is drawn to the middle, against one neighbour: each is tried
SIDEWAYS_PX = 60  # one pixel of an arrow sideways is as bad as this much area
MOST_PERMUTED = 6  # boxes in a row whose every order is tried


@dataclass(frozen=True)
class Placed:
    """Where everything lies, from the top left corner."""

    width: float
    height: float
    corners: dict[str, Point]  # of each box, top left
    paths: dict[Arrow, list[Point]]  # from the lower edge of one box to the upper edge of another


def without_implied(arrows: Iterable[Arrow]) -> set[Arrow]:
    """The arrows that do not follow from others; there must be no circle."""
    below: dict[str, set[str]] = {}
    for here, there in arrows:
        below.setdefault(here, set()).add(there)
    graphlib.TopologicalSorter(
        below
    ).prepare()  # raises CycleError, which names the circle: it would be walked for ever

    def reach(start: str) -> set[str]:
        return {start}.union(*(reach(one) for one in below.get(start, ())))

    return {
        (here, there)
        for here, some in below.items()
        for there in some
        if not any(there in reach(other) for other in some - {there})
    }


def rows_of(names: list[str], arrows: set[Arrow]) -> dict[str, int]:
    """The row of each box: one below the lowest of those that point at it; there must be no circle."""
    rows = dict.fromkeys(names, 0)
    for _ in names:
        for here, there in arrows:
            rows[there] = max(rows[there], rows[here] + 1)
    return rows


def place(sizes: dict[str, Point], arrows: set[Arrow], gap: Point, rows: dict[str, int] | None = None) -> Placed:
    """Lay out boxes of these sizes (width, height); their order decides where nothing else does.

    Args:
        gap: least distance of boxes beside and below each other.
        rows: overrules `rows_of`; each arrow must still point down.
    """
    if rows is None:
        rows = rows_of(list(sizes), arrows)
    chains = {
        arrow: [arrow[0], *(f"{arrow[0]}>{arrow[1]}>{n}" for n in range(rows[arrow[0]] + 1, rows[arrow[1]])), arrow[1]]
        for arrow in sorted(arrows)
    }
    grid: list[list[str]] = [[] for _ in range(max(rows.values()) + 1)]
    for name in sizes:
        grid[rows[name]].append(name)
    for arrow, chain in chains.items():
        for n, lane in enumerate(chain[1:-1], rows[arrow[0]] + 1):
            grid[n].append(lane)
    links = {pair for chain in chains.values() for pair in itertools.pairwise(chain)}
    _order(grid, links)
    tries = [_placed(sizes, gap, grid, chains, links, straight, pull) for straight in STRAIGHT for pull in PULL]
    return min(tries, key=_cost_of)


def _placed(
    sizes: dict[str, Point],
    gap: Point,
    grid: list[list[str]],
    chains: dict[Arrow, list[str]],
    links: set[Arrow],
    straight: float,
    pull: float,
) -> Placed:
    widths = {name: sizes[name][0] if name in sizes else LANE_PX for row in grid for name in row}
    middles = _positions(grid, links, widths, gap[0], straight, pull)
    left = min(middles[name] - widths[name] / 2 for name in middles)
    right = max(middles[name] + widths[name] / 2 for name in middles)
    edges = _heights(grid, links, middles, widths, sizes, gap)
    corners = {name: (middles[name] - widths[name] / 2 - left, edges[name][0]) for name in sizes}
    paths = _paths(grid, chains, {name: middles[name] - left for name in middles}, widths, edges)
    return Placed(right - left, max(lower for _, lower in edges.values()), corners, paths)


def _cost_of(placed: Placed) -> float:
    """What a reader sees of it: its area, and how far arrows go sideways."""
    steps = [pair for path in placed.paths.values() for pair in itertools.pairwise(path)]
    sideways = math.fsum(abs(one[0] - two[0]) for one, two in steps)
    return round(placed.width * placed.height + SIDEWAYS_PX * sideways, 3)


def _order(grid: list[list[str]], links: set[Arrow]) -> None:
    """Sort each row so that few arrows cross, then so that they are short; rows are swept down and up."""
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        for n in range(len(grid)) if downward else reversed(range(len(grid))):
            row = grid[n]
            if len(row) <= MOST_PERMUTED:
                orders = [list(order) for order in itertools.permutations(row)]
            else:
                orders = [row, *([*row[:i], row[i + 1], row[i], *row[i + 2 :]] for i in range(len(row) - 1))]
            grid[n] = min(orders, key=lambda order: _cost(grid, n, order, links))


def _cost(grid: list[list[str]], n: int, order: list[str], links: set[Arrow]) -> tuple[int, float]:
    crossings, length = 0, 0.0
    for other in (n - 1, n + 1):
        if not 0 <= other < len(grid):
            continue
        here = {name: i / max(len(order) - 1, 1) for i, name in enumerate(order)}
        there = {name: i / max(len(grid[other]) - 1, 1) for i, name in enumerate(grid[other])}
        pairs = [(here[a], there[b]) for a, b in links if a in here and b in there]
        pairs += [(here[b], there[a]) for a, b in links if b in here and a in there]
        crossings += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(pairs, 2))
        length += math.fsum(abs(a - b) for a, b in pairs)
    return crossings, round(length, 6)


def _positions(
    grid: list[list[str]],
    links: set[Arrow],
    widths: dict[str, float],
    gap_px: float,
    straight: float,
    pull: float,
) -> dict[str, float]:
    """The middle of each box: near the mean of its neighbours, as far as those beside it allow; lanes are straight."""
    middles: dict[str, float] = {}
    for row in grid:
        at = -sum(widths[name] + gap_px for name in row) / 2
        for name in row:
            middles[name] = at + widths[name] / 2
            at += widths[name] + gap_px
    near: dict[str, list[tuple[str, float]]] = {name: [] for name in middles}
    for here, there in sorted(links):
        weight = float(straight ** ((">" in here) + (">" in there)))
        near[here].append((there, weight))
        near[there].append((here, weight))
    weights = {name: math.fsum([pull, *(weight for _, weight in some)]) or 1.0 for name, some in near.items()}
    for sweep in range(4 * SWEEPS):
        for row in grid if sweep % 2 == 0 else reversed(grid):
            means = [math.fsum(w * middles[one] for one, w in near[name]) / weights[name] for name in row]
            wanted = [mean if near[name] else middles[name] for name, mean in zip(row, means, strict=True)]
            placed = _apart(row, wanted, [weights[name] for name in row], widths, gap_px)
            middles.update(zip(row, placed, strict=True))
    return middles


def _apart(
    row: list[str], wanted: list[float], weights: list[float], widths: dict[str, float], gap_px: float
) -> list[float]:
    """The nearest places to `wanted` that keep order and distance (pool adjacent violators)."""
    offsets = [0.0]
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2 + gap_px)
    groups: list[tuple[float, float, int]] = []  # mean of wanted place less offset, its weight, how many share it
    for place_px, weight, offset in zip(wanted, weights, offsets, strict=True):
        groups.append((place_px - offset, weight, 1))
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (one, v, n), (two, w, m) = groups[-2:]
            groups[-2:] = [((one * v + two * w) / (v + w), v + w, n + m)]
    starts = [mean for mean, _, n in groups for _ in range(n)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _heights(
    grid: list[list[str]],
    links: set[Arrow],
    middles: dict[str, float],
    widths: dict[str, float],
    sizes: dict[str, Point],
    gap: Point,
) -> dict[str, Point]:
    """Upper and lower edge of each box and lane: as high as what points at it, or lies over it, allows."""
    edges: dict[str, Point] = {}
    for row in grid:
        tops = {}
        for name in row:
            reach = widths[name] / 2 + gap[0]
            over = [one for one in edges if abs(middles[one] - middles[name]) < widths[one] / 2 + reach]
            over += [here for here, there in links if there == name]
            tops[name] = max((edges[one][1] + gap[1] for one in over), default=0.0)
        for name, top in tops.items():
            edges[name] = (top, top + (sizes[name][1] if name in sizes else 0.0))
    for n, row in enumerate(grid):  # a lane goes straight past the boxes beside it
        for lane in (name for name in row if name not in sizes):
            below = next(there for here, there in links if here == lane)
            beside = max((edges[name][1] for one in grid[: n + 1] for name in one if name in sizes), default=0.0)
            edges[lane] = (edges[lane][0], max(edges[lane][0], min(beside, edges[below][0] - gap[1])))
    return edges


def _paths(
    grid: list[list[str]],
    chains: dict[Arrow, list[str]],
    middles: dict[str, float],
    widths: dict[str, float],
    edges: dict[str, Point],
) -> dict[Arrow, list[Point]]:
    """The points of each arrow; those that leave or reach the same box are spread along its edge."""
    ends: dict[tuple[str, bool], list[tuple[float, Arrow]]] = {}
    for arrow, chain in chains.items():
        ends.setdefault((chain[0], True), []).append((middles[chain[1]], arrow))
        ends.setdefault((chain[-1], False), []).append((middles[chain[-2]], arrow))
    at: dict[tuple[Arrow, bool], float] = {}
    for (box, leaves), some in ends.items():
        step = min(0.6 * widths[box] / len(some), 36.0)
        for i, (_, arrow) in enumerate(sorted(some)):
            at[arrow, leaves] = middles[box] + (i - (len(some) - 1) / 2) * step
    paths = {}
    for arrow, chain in chains.items():
        points = [(at[arrow, True], edges[chain[0]][1])]
        # straight down first where a taller box of the same row stands in the way
        left, right = sorted((at[arrow, True], at[arrow, False] if len(chain) == 2 else middles[chain[1]]))
        row = next(row for row in grid if chain[0] in row)
        half = {one: widths[one] / 2 for one in row}
        beside = [one for one in row if middles[one] - half[one] < right and middles[one] + half[one] > left]
        if (lowest := max(edges[one][1] for one in [chain[0], *beside])) > points[0][1]:
            points.append((points[0][0], lowest))
        for lane in chain[1:-1]:
            points += [(middles[lane], edges[lane][0]), (middles[lane], edges[lane][1])]
        paths[arrow] = [*points, (at[arrow, False], edges[chain[-1]][0])]
    return paths
