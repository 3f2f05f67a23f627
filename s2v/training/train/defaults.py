"""What the training commands do when not told otherwise; imports nothing, so that the command line can read it."""

from __future__ import annotations

PICTURES_PER_CLIP = 5
CLIPS_PER_SHARD = 256
BATCH = 32  # pictures in a batch
ROWS = 16  # of 6 s of speech in a batch
EPOCHS = 20
SAVE_EVERY_STEPS = 1000
LEARNING_RATE = 2e-3
LOOK_AHEAD_MS = 80
