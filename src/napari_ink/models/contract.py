"""What every network promises to the rooms that use it, and how its halo is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.models.info import CheckpointInfo
    from napari_ink.models.mode import MoDEConv3d
    from napari_ink.models.narrowing import ChannelFactors

#: Gates that replace a network's own while folding: an ``(experts, channels)`` array by name of
#: the layer, or a function of a layer's name and its own gates that returns such an array.
GateOverride = Mapping[str, Any] | Callable[[str, Tensor], Any]


class InkNetwork(nn.Module):
    """Base of all networks: volume and task in, logits out.

    ``forward(volume, task)`` maps ``(batch, 1, z, y, x)`` float32, already normalised, and
    ``(batch,)`` int64 to logits: ``(batch, 1, y / output_stride, x / output_stride)`` if
    ``output`` is ``"layer"``, ``(batch, z, y, x)`` if it is ``"volume"``.

    Attributes
    ----------
    architecture : str
        Name in :mod:`napari_ink.models.registry`.
    arguments : dict
        What :func:`napari_ink.models.registry.build` needs to build the same network again;
        JSON-able.
    depth : int
        Layers taken.
    output : str
        ``"layer"`` (one ink map) or ``"volume"`` (a labelled volume).
    output_stride : int
        Input pixels an output pixel, along y and x.
    multiple_of : int
        Sides of the input, y and x, are multiples of this; so are the origins of tiles, without
        which pooling would fall on another grid and change the map. A multiple of
        ``output_stride``.
    side : int or None
        The only side of the input, y and x, that it takes, as a transformer with learned positions
        does, or dense layers; ``None``: any multiple of ``multiple_of``.
    halo : int
        Pixels of context around a block, a multiple of ``multiple_of``. A fresh network declares
        its receptive field, which is exact and wide; a checkpoint carries the measured one
        (:func:`napari_ink.models.halo.measure_halo`), where no pixel that was looked at changed
        by the tolerance: what was looked at stands in ``info.training["halo"]``.
    tasks : tuple of str
        Names of the tasks, in the order of their indices.
    mix_at : str or None
        Name of the submodule whose output, a tensor or a tuple of them, holds all features that
        go on from there: where training may mix samples. ``None``: nowhere.
    loss_weights : tuple of float
        How much the loss of each of :meth:`all_logits` counts while training.
    info : CheckpointInfo or None
        Metadata, of a network that came from a file.
    """

    architecture: str
    arguments: dict
    depth: int
    output: Literal["layer", "volume"]
    output_stride: int = 1
    multiple_of: int
    side: int | None = None
    halo: int
    tasks: tuple[str, ...]
    mix_at: str | None = None
    loss_weights: tuple[float, ...] = (1.0,)
    info: CheckpointInfo | None = None

    def fold(
        self,
        task: int | str = 0,
        gates: GateOverride | None = None,
        factors: ChannelFactors | None = None,
    ) -> nn.Module:
        """An ordinary network for one task: ``(batch, 1, z, y, x)`` to this network's logits.

        Experts are merged and batch norm is absorbed; dropout and gate noise are gone. The result
        shares no memory with this network, is in eval mode and needs no gradient.

        Parameters
        ----------
        task : int or str
            Index or name.
        gates : mapping or callable, optional
            In place of the network's own gates.
        factors : mapping, optional
            By which the channels that enter gated layers are multiplied, as dropout does: those
            of factor 0 are left out of the result (:mod:`napari_ink.models.narrowing`).
        """
        raise NotImplementedError

    def all_logits(self, volume: Tensor, task: Tensor) -> tuple[Tensor, ...]:
        """What training learns from: logits at every scale, the last of them those of a call.

        A network that is supervised at several scales gives one a scale, coarsest first, each
        ``(batch, 1, y / s, x / s)`` for some s.
        """
        return (self(volume, task),)

    def mode_layers(self) -> dict[str, MoDEConv3d]:
        """The gated convolutions by name, in order; none in an ordinary network."""
        return {}

    def passing_order(self, task: Tensor) -> list[int]:
        """The order in which a batch with these tasks passes the submodules."""
        return list(range(len(task)))

    def task_index(self, task: int | str) -> int:
        """Index of a task given by name or index."""
        if isinstance(task, str):
            if task in self.tasks:
                return self.tasks.index(task)
        elif 0 <= int(task) < len(self.tasks):
            return int(task)
        raise SettingsError(
            f"the network has no task {task!r}", f"choose one of {', '.join(self.tasks)}"
        )

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise SettingsError unless a volume of this shape fits the network."""
        if len(shape) != 5 or shape[1] != 1:
            raise SettingsError(
                f"a volume of shape {tuple(shape)}", "the network takes (batch, 1, z, y, x)"
            )
        if shape[2] != self.depth and self.output == "layer":
            raise SettingsError(
                f"a volume of {shape[2]} layers", f"the network takes {self.depth} layers"
            )
        if self.side is not None and any(side != self.side for side in shape[3:]):
            raise SettingsError(
                f"a tile of {shape[3]}×{shape[4]} px",
                f"the network takes {self.side}×{self.side} px only",
            )
        if any(side < 1 or side % self.multiple_of for side in shape[3:]):
            raise SettingsError(
                f"a tile of {shape[3]}×{shape[4]} px",
                f"its sides must be multiples of {self.multiple_of} px",
            )
