"""Where timers stand in an engine: on methods of its own parts, which do not know of it."""

from __future__ import annotations

from s2v.benchmarks.stopwatch import Stopwatch
from s2v.engine.compositor.cpu import MotionCompositor, PixelCompositor
from s2v.engine.lipsync import LipSyncEngine

RING, MFCC, NETWORK = "ring, windows", "MFCC", "network"
WARP_MAP, WARP_PIXELS, IDLE, MOUTH = "warp: map", "warp: pixels", "idle motion", "mouth, paste"
DRAWING = (RING, MFCC, NETWORK, WARP_MAP, WARP_PIXELS, IDLE, MOUTH)


def instrument_engine(engine: LipSyncEngine, watch: Stopwatch) -> None:
    """Put timers on an engine that has not drawn yet.

    warp: map    where each pixel of the lower face comes from.
    warp: pixels fetching them, for all that moves, and copying the rest of the photo.
    idle motion  where head and shoulders carry pixels, gaze, lids.
    mouth, paste what is drawn between the lips, and putting it into the frame.

    A compositor of another kind is all "mouth, paste".
    """
    watch.put_on(engine, "push", RING)
    watch.put_on(engine._windows._front_end, "columns", MFCC)
    watch.put_on(engine._windows._mean, "update", MFCC)
    watch.put_on(engine._backend, "infer" if engine._resident is None else "infer_resident", NETWORK)
    compositor = engine._compositor
    watch.put_on(compositor, "draw", MOUTH)
    if isinstance(compositor, MotionCompositor):
        watch.put_on(compositor, "_warped", WARP_PIXELS)
        watch.put_on(compositor.warp, "source_map", WARP_MAP)
    if isinstance(compositor, MotionCompositor | PixelCompositor) and compositor.animated is not None:
        animated = compositor.animated
        watch.put_on(animated, "pose", IDLE)
        watch.put_on(animated, "forward", IDLE)
        watch.put_on(animated, "draw", WARP_PIXELS)
        watch.put_on(animated.head, "source_map", IDLE)
        watch.put_on(animated.eyes, "move", IDLE)
        watch.put_on(animated.head, "look_up", WARP_PIXELS)
