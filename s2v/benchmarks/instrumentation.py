"""Where timers stand in an engine: on methods of its own parts, which do not know of it."""

from __future__ import annotations

from s2v.benchmarks.stopwatch import Stopwatch
from s2v.engine.compositor.cpu import MotionCompositor, PixelCompositor
from s2v.engine.lipsync import LipSyncEngine

RING, MFCC, NETWORK = "ring, windows", "MFCC", "network"
BEHAVIOUR, HEAD, UPPER_FACE = "behaviour", "head: map", "eyes, brows"
WARP_MAP, WARP_PIXELS = "warp: map", "warp: pixels"
OPENING, LAYERS, PASTE = "mouth: opening", "mouth: layers", "mouth: paste"
DRAWING = (RING, MFCC, NETWORK, BEHAVIOUR, HEAD, UPPER_FACE, WARP_MAP, WARP_PIXELS, OPENING, LAYERS, PASTE)


def instrument_engine(engine: LipSyncEngine, watch: Stopwatch) -> None:
    """Put timers on an engine that has not drawn yet.

    warp: map      where each pixel of the lower face comes from.
    warp: pixels   fetching them, for all that moves, and copying the rest of the photo.
    behaviour      what the sound makes head, brows, lids and gaze do.
    head: map      where head and shoulders carry pixels.
    eyes, brows    gaze, lids, brows and cheeks within that map.
    mouth: opening where the lips are apart, and what light falls between them.
    mouth: layers  tongue and teeth.
    mouth: paste   putting them into the frame, and what else drawing takes.

    A compositor of another kind is all "mouth: paste".
    """
    watch.put_on(engine, "push", RING)
    watch.put_on(engine._windows._front_end, "columns", MFCC)
    watch.put_on(engine._windows._mean, "update", MFCC)
    watch.put_on(engine._backend, "infer" if engine._resident is None else "infer_resident", NETWORK)
    if engine._behaviour is not None:
        watch.put_on(engine._behaviour, "hear", BEHAVIOUR)
        watch.put_on(engine._behaviour, "pose", BEHAVIOUR)
    compositor = engine._compositor
    watch.put_on(compositor, "draw", PASTE)
    if isinstance(compositor, MotionCompositor):
        watch.put_on(compositor, "_warped", WARP_PIXELS)
        watch.put_on(compositor.warp, "source_map", WARP_MAP)
        watch.put_on(compositor.interior, "opening", OPENING)
        watch.put_on(compositor.interior, "layers", LAYERS)
    if isinstance(compositor, MotionCompositor | PixelCompositor) and compositor.animated is not None:
        animated = compositor.animated
        watch.put_on(animated, "draw", WARP_PIXELS)
        watch.put_on(animated.head, "source", HEAD)
        watch.put_on(animated, "forward", HEAD)
        watch.put_on(animated, "carry", HEAD)
        watch.put_on(animated.expression, "move", UPPER_FACE)
        watch.put_on(animated.eyes, "move", UPPER_FACE)
        watch.put_on(animated.head, "look_up", WARP_PIXELS)
