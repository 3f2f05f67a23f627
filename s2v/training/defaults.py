"""What the training commands do when not told otherwise; imports nothing, so that the command line can read it."""

from __future__ import annotations

PICTURES_PER_CLIP = 5
BATCH = 32  # pictures in a batch
EPOCHS = 20
SAVE_EVERY_STEPS = 1000
