"""What every network has in common."""

from __future__ import annotations

from torch import nn

from s2v.spec import LipSyncSpec


class TalkingNet(nn.Module):
    """What training, export and evaluation know about a network, split the way it runs.

    `face_encoder` runs once per face, if there is one, `frame_decoder` once per frame.
    """

    spec: LipSyncSpec
    width: float = 1.0  # times the channels that the network usually has
    identity_names: tuple[str, ...]  # what the face encoder gives and the frame decoder takes
    output_names: tuple[str, ...]
    face_encoder: nn.Module | None  # (b, 6, face_px, face_px) -> tensors named by identity_names
    frame_decoder: nn.Module  # (b, 1, n_cepstra, n_columns), *identity -> tensors named by output_names
