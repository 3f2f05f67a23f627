"""What the training commands do when not told otherwise; imports nothing, so that the command line can read it."""

from __future__ import annotations

PICTURES_PER_CLIP = 5
CLIPS_PER_SHARD = 256
BATCH_SIZE = 64  # samples in a batch: pictures, or stretches of 1.5 s of speech
STRETCHES_IN_A_ROW = 4  # rows of 6 s hold so many of them
STEPS_PER_EPOCH = 1000
EPOCHS = 20
WORKERS = 1
SAVE_EVERY_STEPS = 200
LEARNING_RATE = 2e-3
WARMUP_STEPS = 200
GRADIENT_CLIP = 1.0
EMA = 0.999  # of --ema without a number
LOOK_AHEAD_MS = {"s2v": 80, "speech2vid": 190}  # the paper's window is centred on its frame
