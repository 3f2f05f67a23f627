from __future__ import annotations

import numpy as np
import pytest

from s2v.training.evaluation.measures.phone_classes import class_table
from s2v.training.evaluation.measures.shapes import LipShapes
from s2v.training.evaluation.measures.variety import VARIED, by_class, mouth_vector, shape_variety, variety
from s2v.training.voices.phones import Phone


def scattered(centre: tuple[float, float], spread: float) -> np.ndarray:
    return np.array(centre) + spread * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def test_it_is_the_distance_of_the_means_over_the_spread_within() -> None:
    classes = {"a": scattered((0, 0), 1.0), "b": scattered((3, 4), 1.0)}
    assert variety(classes) == pytest.approx(5)
    assert variety({name: 7 * members for name, members in classes.items()}) == pytest.approx(5)  # of any size
    assert variety({"a": classes["a"], "b": scattered((3, 4), 7.0)}) == pytest.approx(5 / np.sqrt((1 + 49) / 2))
    third = classes | {"c": scattered((0, 0), 1.0)}
    assert variety(third) == pytest.approx((5 + 0 + 5) / 3)  # over all pairs


def test_a_class_said_too_seldom_has_no_spread() -> None:
    assert np.isnan(variety({"a": scattered((0, 0), 1.0), "b": scattered((3, 4), 1.0)[:2]}))
    assert np.isnan(variety({"a": scattered((0, 0), 1.0)}))


def test_shapes_are_compared_by_width_and_opening() -> None:
    phones, opening, width = [], [], []
    for index in range(9):
        name = VARIED[index % 3]
        phones.append(Phone(name, index * 0.04, (index + 1) * 0.04))
        opening.append({"UW": 0.03, "SH": 0.06, "EH": 0.09}[name] + 0.001 * (index // 3))
        width.append({"UW": 0.40, "SH": 0.46, "EH": 0.50}[name])
    shapes = LipShapes(np.array(opening), np.array(width), np.zeros((9, 1, 2)))
    table = class_table(shapes, phones, 25, {name: frozenset({name}) for name in VARIED})
    varied = shape_variety(table)
    same = shape_variety(
        class_table(
            LipShapes(np.array([0.001 * (i // 3) for i in range(9)]), np.full(9, 0.4), np.zeros((9, 1, 2))),
            phones,
            25,
            {name: frozenset({name}) for name in VARIED},
        )
    )
    assert varied > 20 and same == pytest.approx(0)
    assert np.isnan(shape_variety({}))


def test_pictures_are_compared_by_shape_and_colour_not_by_grain() -> None:
    random = np.random.default_rng(0)
    flat = np.full((56, 80, 3), 120, np.uint8)
    grainy = np.clip(flat + random.normal(0, 10, flat.shape), 0, 255).astype(np.uint8)
    other = flat.copy()
    other[20:40, 20:60] = 30
    near, far = (float(np.linalg.norm(mouth_vector(flat) - mouth_vector(mouth))) for mouth in (grainy, other))
    assert far > 8 * near
    found = by_class([("a", mouth_vector(flat)), ("b", mouth_vector(other)), ("a", mouth_vector(grainy))])
    assert {name: len(vectors) for name, vectors in found.items()} == {"a": 2, "b": 1}
