"""Options of the commands that show a face."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2v.engine.avatar import AvatarOptions

from s2v.bundled import BUNDLED_FACE
from s2v.errors import S2vError

# As the engine has them, whose modules load numpy.
LEAST_ARTICULATION, MOST_ARTICULATION = 0.5, 1.5
LEAST_LIVELINESS, MOST_LIVELINESS = 0.0, 1.5
MOODS = ("neutral", "friendly", "serious")


def add_face_options(parser: argparse.ArgumentParser, max_side_px: int, films: bool = False) -> None:
    """Whose face, and what draws it: the same for all commands that show one. Args: films: whether it may be a film."""
    dubbed = "; or a film (mp4, mov, webm, gif ...), whose mouth is replaced" if films else ""
    parser.add_argument(
        "--face",
        type=Path,
        default=BUNDLED_FACE,
        metavar="PHOTO|FILM" if films else "PHOTO",
        help=f"jpg, png, webp, avif, heic, gif or bmp; transparent parts become white{dubbed} (default: a bundled one)",
    )
    parser.add_argument(
        "--max-side",
        type=_side,
        default=max_side_px,
        metavar="PX",
        help="scale larger photos down to this long side (default %(default)s)",
    )
    parser.add_argument("--face-index", type=int, metavar="N", help="which face of several, 0 is the leftmost")
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="of `s2v export` (default: the bundled one)")
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="runs the model: auto (default: tensorrt or torch-cuda on an NVIDIA GPU, else openvino or onnxruntime), "
        "one of these, torch-cpu, torch-cuda-fp32, torch-cuda-compiled; openvino draws files in float32, the same each "
        "time, and calls in what is faster here: openvino-f32 or openvino-bf16 for one of the two everywhere",
    )
    parser.add_argument(
        "--compose",
        default="auto",
        choices=("auto", "cpu", "gpu"),
        help="where frames are drawn: auto (default) is the GPU with --backend torch-cuda, else the CPU",
    )
    parser.add_argument(
        "--articulation",
        type=_articulation,
        default=1.0,
        metavar="SHARE",
        help="how strongly the face speaks, 0.5 to 1.5 (default %(default)s); silence stays silent",
    )
    parser.add_argument(
        "--background",
        metavar="FILE|COLOUR|blur",
        help="what to show behind the person: a picture, a colour (its name, '#rrggbb' or 'r,g,b'), or blur "
        "(default: what is there on the photo)",
    )
    parser.add_argument(
        "--liveliness",
        type=_liveliness,
        metavar="SHARE",
        help="how much head, brows and gaze move with the conversation, 0 to 1.5 (default 1.0); breath, blinks and "
        "looks stay",
    )
    parser.add_argument("--mood", choices=MOODS, help="how the face looks before it says anything (default neutral)")
    parser.add_argument(
        "--no-idle", action="store_true", help="no blinks, gaze, head motion or breath: only the lower face moves"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="another N blinks and moves otherwise (default %(default)s)"
    )


def avatar_options(args: argparse.Namespace) -> AvatarOptions:
    """What these options ask for, but for the photo itself.

    Raises: S2vError, options that do not go together.
    """
    from s2v.engine.avatar import AvatarOptions

    refuse_without_idle(args, "liveliness", "mood")
    return AvatarOptions(
        args.model,
        args.backend,
        None if args.no_idle else args.seed,
        args.max_side,
        args.compose,
        args.articulation,
        1.0 if args.liveliness is None else args.liveliness,
        args.mood or "neutral",
        args.background,
    )


def refuse_without_idle(args: argparse.Namespace, *names: str) -> None:
    """Raises: S2vError, one of these options was given together with --no-idle, which leaves it nothing to do."""
    for name in names:
        given = getattr(args, name)
        if args.no_idle and given is not None and given is not False:  # 0 is given too
            option = f"--{name.replace('_', '-')}"
            raise S2vError(f"{option} has nothing to move with --no-idle: leave one of them out")


def _articulation(text: str) -> float:
    return _share(text, "an articulation", LEAST_ARTICULATION, MOST_ARTICULATION)


def _liveliness(text: str) -> float:
    return _share(text, "a liveliness", LEAST_LIVELINESS, MOST_LIVELINESS)


def _share(text: str, what: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}: give a number from {least:g} to {most:g}")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give a whole number from 0 to {2**63 - 1}")
    return int(text)


def _side(text: str) -> int:
    if not text.isdecimal() or not 128 <= int(text) <= 1080:
        raise argparse.ArgumentTypeError(f"{text!r} is not a long side: give a whole number from 128 to 1080")
    return int(text)
