"""Mouth shapes of real talkers: motion coefficients in basis "grid-s1"."""

from __future__ import annotations

import numpy as np

# Medians of the 15 frames nearest to a vowel's width and opening, of nine GRID talkers and two addresses; w and g say
# how many face units wider and more open than at rest.
VOWELS = {
    "UW": np.array([0.77, -2.18, 1.03, -1.42, 0.31, -0.97, -0.34, -1.93, -0.55, -0.03]),  # w -0.049 g 0.034
    "W": np.array([0.59, -2.03, 1.85, -2.20, -0.72, -2.43, -0.38, -2.00, 0.24, 0.41]),  # w -0.065 g 0.048
    "OW": np.array([1.48, -1.91, 1.12, -0.93, 2.18, -0.98, 0.32, -1.64, -0.88, -3.59]),  # w -0.039 g 0.063
    "IY": np.array([0.97, 0.81, 2.41, 1.48, -0.17, 1.98, -0.01, -1.78, 0.91, 0.76]),  # w 0.043 g 0.083
    "AA": np.array([2.89, 0.68, 2.50, -0.84, 1.23, 1.08, -4.62, -4.76, -1.58, 0.90]),  # w -0.001 g 0.169
}
