"""What a photo's lower face must do to be at rest: lips together, also where they are open on the photo."""

from __future__ import annotations

import numpy as np

from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    UPPER_INNER_LIP,
    Points,
)

_OVERLAP = 0.016  # face units by which the lips of an open mouth are closed further than their landmarks


def rest_displacement(canonical: Points) -> Points:
    """What closes the lips of a photo, (468, 3) in face units; zero for lips already closed.

    The lower lip and the chin go up, the upper lip comes down a little, and a smile stays a smile.
    """
    upper, lower = canonical[list(UPPER_INNER_LIP)], canonical[list(LOWER_INNER_LIP)]
    middle = (upper + lower) / 2
    order = np.argsort(middle[:, 0])
    gap = np.maximum(lower[:, 1] - upper[:, 1], 0.0)
    # The landmarks run inside the edge of the lips: a touch further, or a line of teeth stays.
    gap += _OVERLAP * np.clip((gap - 0.002) / 0.006, 0.0, 1.0)
    line_x, line_y = middle[order, 0], middle[order, 1]
    x, y = canonical[:, 0], canonical[:, 1]
    here = np.interp(x, line_x, gap[order], 0.0, 0.0)
    centre = (line_x[0] + line_x[-1]) / 2
    # The chin follows the jaw as a whole, not the gap straight above it.
    jaw = 0.4 * gap.max() * np.clip(1 - (np.abs(x - centre) / 0.6) ** 2, 0, 1)
    below = y - np.interp(x, line_x, line_y)
    to_chin = np.clip(below / 0.35, 0, 1)
    to_nose = np.clip(-below / 0.22, 0, 1)
    # The lips' own mesh rows decide by name: near a wide gap, y alone can be on the wrong side.
    is_lower = below > 0
    is_lower[list(LOWER_INNER_LIP[1:-1])] = True
    is_lower[list(UPPER_INNER_LIP[1:-1])] = False
    up = 0.65 * here * (1 - to_chin) + jaw * to_chin
    down = 0.35 * here * (1 - to_nose)
    shift = np.zeros_like(canonical)
    shift[:, 1] = np.where(is_lower, -up, down)
    for lips, share in ((UPPER_INNER_LIP, 0.35), (LOWER_INNER_LIP, -0.65)):
        shift[list(lips), 1] = share * gap
    return shift
