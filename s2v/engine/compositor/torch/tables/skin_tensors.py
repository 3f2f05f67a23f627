"""The fields of a face's brows and cheeks on a device, laid out for torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from s2v.engine.compositor.torch.tables.arrays import as_float, unit_grid, unit_step
from s2v.engine.compositor.torch.tables.layout import Layout, is_empty
from s2v.engine.compositor.upper_face.expression_tables import ExpressionTables, SkinField


@dataclass(frozen=True)
class SkinTensors:
    """For `drawing.expression`; of a face two fields: brows, cheeks. One that moves nothing is 0."""

    forward: Tensor  # (n, 2, 2, rows, columns): x and y in [-1, 1] across the cells, for an amount of one
    cells: Tensor  # (n, 2, rows, columns, 2): where each cell is, in [-1, 1]
    places: Tensor  # (n, 2, 3, 1, 1, 2): photo pixel (x, y, 1) -> [-1, 1] of the cells
    back_px: Tensor  # (n, 2, 2, 1, 1): photo pixels x and y of one unit, negative


def skin_tensors(expression: ExpressionTables | None, layout: Layout) -> SkinTensors:
    """Those of one face, n = 1, in host memory."""
    if expression is None or is_empty(layout.skin):
        return SkinTensors(*(torch.zeros((1, 2)) for _ in fields(SkinTensors)))
    pair = [_one_field(field, layout) for field in (expression.brows, expression.cheeks)]
    both = ([getattr(one, field.name) for one in pair] for field in fields(SkinTensors))
    return SkinTensors(*(torch.stack(parts)[None] for parts in both))


def _one_field(field: SkinField | None, layout: Layout) -> SkinTensors:
    """Without the axes of faces and fields."""
    columns, rows = layout.skin_cells
    forward, places, per_px = np.zeros((2, rows, columns)), np.zeros((2, 3)), unit_step(layout.skin_cells)
    if field is not None:
        own_rows, own_columns = field.forward.shape[:2]
        per_px = per_px / field.cell_px
        # The rim of a field is 0, and so is what is beyond.
        forward[:, :own_rows, :own_columns] = field.forward.transpose(2, 0, 1) * per_px[:, None, None]
        first = np.array(field.box[:2]) + (field.cell_px - 1) / 2
        places = np.c_[np.diag(per_px), -first * per_px - 1]
    return SkinTensors(
        forward=as_float(forward),
        cells=as_float(unit_grid(layout.skin_cells)),
        places=as_float(places.T.reshape(3, 1, 1, 2)),
        back_px=as_float((-1 / per_px).reshape(2, 1, 1)),
    )
