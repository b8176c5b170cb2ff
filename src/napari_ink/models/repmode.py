"""RepMode: a U-Net whose 5³ convolutions are mixtures of diverse experts, gated by task.

Source: Zhou et al., CVPR 2023, arXiv 2212.10066, section 3 and figure 2, and the ink variants
of the Vesuvius RepMode report (November 2023); written from their mathematics.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from napari_ink.errors import SettingsError
from napari_ink.models.activations import ACTIVATIONS, build_activation
from napari_ink.models.collapse import COLLAPSES, build_collapse
from napari_ink.models.contract import GateOverride, InkNetwork
from napari_ink.models.layers import ConvLayer, MoDELayer, PlainHead, add_tasks
from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.narrowing import ChannelFactors, narrow
from napari_ink.models.routing import route
from napari_ink.models.unet import Crossing, FoldedUNet, UNet


class RepMode(UNet, InkNetwork):
    """Gated U-Net from a stack of layers to ink, or to a labelled volume.

    Parameters
    ----------
    width : int
        Channels at full resolution; level k has ``width * 2**k``.
    levels : int
        Times the resolution is halved; sides and depth are multiples of ``2**levels``.
    depth : int
        Layers taken.
    tasks : sequence of str
        Names of the tasks; each has gates of its own.
    decoder : str
        ``"3d"``, as published, or ``"2d"``: skips and bottleneck are collapsed to planes and
        decoded by ordinary 2D convolutions of the same widths.
    collapse : str
        How depth disappears: ``conv2d``, ``mean``, ``matmul_free``, ``matmul_input``,
        ``matmul_bottleneck``, or ``none``: the volume itself is labelled, as in the paper.
    activation : str
        ``relu``, ``mish``, or ``frelu`` (after the layers that change the resolution).
    dropout : float
        Share of the channels dropped before each MoDE convolution while training.
    gate_noise : float
        Standard deviation of normal noise on the gates' logits while training.
    stochastic_depth : float
        Probability with which a sample skips the second layer of a pair while training.
    added_tasks : sequence of str
        Names of tasks that were added to a trained network (:mod:`napari_ink.models.extend`), whose
        indices follow those of ``tasks``. With any, only the last one's parts learn.

    Raises
    ------
    SettingsError
        For arguments that make no network.
    """

    architecture = "repmode"
    output_stride = 1
    mix_at = "crossing"

    def __init__(
        self,
        width: int = 32,
        levels: int = 4,
        depth: int = 64,
        tasks: tuple[str, ...] = ("0",),
        decoder: str = "3d",
        collapse: str = "conv2d",
        activation: str = "relu",
        dropout: float = 0.0,
        gate_noise: float = 0.0,
        stochastic_depth: float = 0.0,
        added_tasks: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.arguments = _checked(
            width=width,
            levels=levels,
            depth=depth,
            tasks=tasks,
            decoder=decoder,
            collapse=collapse,
            activation=activation,
            dropout=dropout,
            gate_noise=gate_noise,
            stochastic_depth=stochastic_depth,
            added_tasks=added_tasks,
        )
        self.depth = depth
        self.tasks = (*tasks, *added_tasks)
        self.multiple_of = 2**levels
        self.output = "volume" if collapse == "none" else "layer"
        radius = receptive_radius(levels, decoder, collapse, activation)
        self.halo = -(-radius // self.multiple_of) * self.multiple_of

        def mode(inputs: int, outputs: int, skipping: float = 0.0) -> MoDELayer:
            conv = MoDEConv3d(inputs, outputs, len(tasks), gate_noise)
            return MoDELayer(conv, build_activation(activation, outputs), dropout, skipping)

        def plain(inputs: int, outputs: int, skipping: float = 0.0) -> ConvLayer:
            conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            return ConvLayer(conv, build_activation(activation, outputs, 2), skipping)

        def resample(kind: type[nn.Module], inputs: int, outputs: int) -> ConvLayer:
            conv = kind(inputs, outputs, 2, stride=2, bias=False)
            dims = conv.weight.ndim - 2
            return ConvLayer(conv, build_activation(activation, outputs, dims, resampling=True))

        def pair(layer: Callable, inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(
                [layer(inputs, outputs), layer(outputs, outputs, stochastic_depth)]
            )

        def flat(channels: int, level: int) -> nn.Module:
            return build_collapse(
                collapse,
                channels,
                depth >> level,
                reduction=2**level,
                cell=2**levels,
                bottleneck_size=width * depth,
            )

        widths = [width * 2**level for level in range(levels + 1)]
        flatten = decoder == "2d"
        layer, transposed = (plain, nn.ConvTranspose2d) if flatten else (mode, nn.ConvTranspose3d)
        inputs = [1, *widths[:-2]]
        self.encoder = nn.ModuleList(
            pair(mode, *io) for io in zip(inputs, widths[:-1], strict=True)
        )
        self.down = nn.ModuleList(resample(nn.Conv3d, w, w) for w in widths[:-1])
        self.bottleneck = pair(mode, widths[-2], widths[-1])
        self.crossing = Crossing()
        self.flatten = nn.ModuleList(flat(w, level) for level, w in enumerate(widths) if flatten)
        self.up = nn.ModuleList(resample(transposed, 2 * w, w) for w in widths[:-1])
        self.decoder = nn.ModuleList(pair(layer, 2 * w, w) for w in widths[:-1])
        if flatten:
            self.head = PlainHead(width, 1, 3, padding=1)
        else:
            self.head = MoDELayer(MoDEConv3d(width, 1, len(tasks), gate_noise), None, dropout)
        self.collapse = None if flatten or collapse == "none" else flat(1, 0)
        if added_tasks:
            add_tasks(self, len(tasks), len(added_tasks))

    def forward(self, volume: Tensor, task: Tensor) -> Tensor:
        """Logits of a batch whose samples may have different tasks.

        Parameters
        ----------
        volume : Tensor
            ``(batch, 1, z, y, x)`` float, normalised.
        task : Tensor
            ``(batch,)`` int64, indices into ``tasks``.

        Returns
        -------
        Tensor
            ``(batch, 1, y, x)``, or ``(batch, z, y, x)`` for a labelled volume.
        """
        self.check_shape(volume.shape)
        tasks = [self.task_index(index) for index in task.tolist()]
        if len(tasks) != len(volume):
            raise SettingsError(
                f"{len(tasks)} tasks for a batch of {len(volume)}", "give one task a sample"
            )
        order, routing = route(tasks)
        if order is None:
            return self.walk(volume, routing)
        logits = self.walk(volume[order], routing)
        return logits[sorted(range(len(order)), key=order.__getitem__)]

    def passing_order(self, task: Tensor) -> list[int]:
        """Samples of one task pass together; see :class:`InkNetwork`."""
        order, _ = route(task.tolist())
        return super().passing_order(task) if order is None else order

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise SettingsError unless a volume of this shape fits; see :class:`InkNetwork`."""
        super().check_shape(shape)
        if shape[2] < 1 or shape[2] % self.multiple_of:
            raise SettingsError(
                f"a volume of {shape[2]} layers", f"give a multiple of {self.multiple_of}"
            )

    def mode_layers(self) -> dict[str, MoDEConv3d]:
        """The gated convolutions by name (``encoder.0.1`` …, ``head``), in order."""
        return {
            name: module.conv
            for name, module in self.named_modules()
            if isinstance(module, MoDELayer)
        }

    @torch.no_grad()
    def fold(
        self,
        task: int | str = 0,
        gates: GateOverride | None = None,
        factors: ChannelFactors | None = None,
    ) -> FoldedUNet:
        """An ordinary network for one task; see :meth:`InkNetwork.fold`."""
        task = self.task_index(task)
        chosen = self._gates(task, gates)

        def folded(name: str, part: nn.Module) -> nn.Module:
            if isinstance(part, nn.ModuleList):
                return nn.ModuleList(folded(f"{name}.{i}", p) for i, p in enumerate(part))
            if isinstance(part, MoDELayer):
                return part.folded(chosen[name], task)
            if isinstance(part, ConvLayer):
                return part.folded(task)
            return copy.deepcopy(part)

        network = FoldedUNet()
        for name, part in self.named_children():
            setattr(network, name, folded(name, part))
        network.collapse = copy.deepcopy(self.collapse)
        if factors:
            narrow(network, factors)
        return network.requires_grad_(False).eval()

    def _gates(self, task: int, override: GateOverride | None) -> dict[str, Tensor]:
        """Gates of every MoDE layer in float64, after the override."""
        layers = self.mode_layers()
        training = self.training
        self.eval()  # gate noise belongs to training
        gates = {name: layer.gates(task).double() for name, layer in layers.items()}
        self.train(training)
        if override is None:
            return gates
        if callable(override):
            override = {name: override(name, own) for name, own in gates.items()}
        for name, values in override.items():
            if name not in gates:
                raise SettingsError(
                    f"the network has no gated layer {name!r}", f"choose among {', '.join(gates)}"
                )
            values = torch.as_tensor(values).to(gates[name])
            if values.shape != gates[name].shape:
                raise SettingsError(
                    f"gates of shape {tuple(values.shape)} for {name}",
                    f"they must be {tuple(gates[name].shape)}, (experts, channels)",
                )
            gates[name] = values
        return gates


def receptive_radius(levels: int, decoder: str, collapse: str, activation: str) -> int:
    """Pixels, along y or x, beyond which nothing reaches an output pixel.

    Exact where every layer looks as far as it can; an output pixel may lie anywhere in its cell
    of ``2**levels``. Up to a cell too wide for the collapses that compute a vector.
    """
    convs = 4 if decoder == "3d" else 2  # radius of two 5³ or two 3² kernels
    radius = 2**levels - 1 + (2 if decoder == "3d" else 1)
    radius += sum((4 + convs) * 2**level for level in range(levels)) + 4 * 2**levels
    if activation == "frelu":
        radius += sum(2**level + 2 ** (level + 1) for level in range(levels))
    if collapse == "conv2d":
        radius += 1 if decoder == "3d" else 2**levels
    elif collapse in ("matmul_input", "matmul_bottleneck"):
        radius += 2**levels
    return radius


def _checked(**arguments) -> dict:
    """The arguments as JSON keeps them; SettingsError for what makes no network."""

    def refuse(name: str, remedy: str) -> None:
        raise SettingsError(f"RepMode: {name} = {arguments[name]!r}", remedy)

    bounds = {"width": 2**16, "levels": 8, "depth": 2**12}
    for name, most in bounds.items():
        value = arguments[name]
        if type(value) is not int or not 1 <= value <= most:
            refuse(name, f"must be a whole number from 1 to {most}")
    choices = {"decoder": ("3d", "2d"), "collapse": COLLAPSES, "activation": ACTIVATIONS}
    for name, allowed in choices.items():
        if arguments[name] not in allowed:
            refuse(name, f"must be one of {', '.join(allowed)}")
    for name, end in {"dropout": 1, "gate_noise": 1000, "stochastic_depth": 1}.items():
        value = arguments[name]
        if type(value) not in (int, float) or not 0 <= value < end:
            refuse(name, f"must be a number from 0 to below {end}")
    tasks, added = arguments["tasks"], arguments["added_tasks"]
    if not tasks or not _are_names(tasks):
        refuse("tasks", "must be a list of different names")
    if not _are_names(added) or set(added) & set(tasks) or len(added) > 64:
        refuse("added_tasks", "must be a list of at most 64 names, different from those of tasks")
    multiple = 2 ** arguments["levels"]
    if arguments["depth"] % multiple:
        refuse("depth", f"must be a multiple of {multiple} with {arguments['levels']} levels")
    if arguments["decoder"] == "2d" and arguments["collapse"] == "none":
        refuse("collapse", "a 2D decoder needs a collapse; a labelled volume needs decoder 3d")
    arguments |= {"tasks": list(tasks), "added_tasks": list(added)}
    # Checkpoints from before these two arguments go on saying the same about their networks.
    return {k: v for k, v in arguments.items() if v or k not in ("stochastic_depth", "added_tasks")}


def _are_names(names: object) -> bool:
    """Whether these are different names, or none at all."""
    return (
        isinstance(names, list | tuple)
        and all(isinstance(name, str) and name for name in names)
        and len(set(names)) == len(names)
    )
