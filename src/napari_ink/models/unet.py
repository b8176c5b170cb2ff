"""The way through an encoder and a decoder, shared by a trained network and its folded form."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Crossing(nn.Module):
    """What goes from encoder to decoder passes here unchanged, so that a hook can get at it."""

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Skips, level 0 first, and the bottleneck's output."""
        return features


class UNet(nn.Module):
    """Parts of a U-shaped network and the order in which a volume passes them.

    Each part takes ``(features, *routing)``, so that task-gated layers and ordinary ones walk the
    same path; an ordinary network passes no routing.

    Attributes
    ----------
    encoder, decoder : nn.ModuleList
        A list of layers a level, level 0 at full resolution.
    down, up : nn.ModuleList
        From level k to k + 1, and from level k + 1 to k.
    bottleneck : nn.ModuleList
        Layers below the last level.
    crossing : Crossing
        Between encoder and decoder.
    flatten : nn.ModuleList
        Collapses of the skips, level 0 first, and of the bottleneck; empty for a 3D decoder.
    head : nn.Module
        Features of level 0 to one channel.
    collapse : nn.Module or None
        Depth of the head's map to a plane; ``None`` in a 2D decoder or for a labelled volume.
    """

    encoder: nn.ModuleList
    down: nn.ModuleList
    bottleneck: nn.ModuleList
    crossing: Crossing
    flatten: nn.ModuleList
    up: nn.ModuleList
    decoder: nn.ModuleList
    head: nn.Module
    collapse: nn.Module | None

    def walk(self, volume: Tensor, *routing) -> Tensor:
        """``(batch, 1, z, y, x)`` to logits ``(batch, 1, y, x)`` or ``(batch, z, y, x)``."""
        features, skips = volume, []
        for level, down in zip(self.encoder, self.down, strict=True):
            for layer in level:
                features = layer(features, *routing)
            skips.append(features)
            features = down(features, *routing)
        for layer in self.bottleneck:
            features = layer(features, *routing)
        *skips, features = self.crossing(*skips, features)
        bottleneck = features
        if len(self.flatten):
            maps = zip(self.flatten, [*skips, features], strict=True)
            *skips, features = [flat(x, volume, bottleneck) for flat, x in maps]
        for up, level in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = torch.cat([skips.pop(), up(features, *routing)], dim=1)
            for layer in level:
                features = layer(features, *routing)
        logits = self.head(features, *routing)
        if self.collapse is not None:
            return self.collapse(logits, volume, bottleneck)
        return logits if logits.ndim == 4 else logits.squeeze(1)


class FoldedUNet(UNet):
    """A U-shaped network of ordinary layers for one task."""

    def forward(self, volume: Tensor) -> Tensor:
        """``(batch, 1, z, y, x)`` to logits ``(batch, 1, y, x)`` or ``(batch, z, y, x)``."""
        return self.walk(volume)
