"""The network of `training.backbones.bundled` as PyTorch trains it, and its way to exported weights
and back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.backbones import bundled


class Convolution(nn.Sequential):
    """Convolution and normalisation, padded as Keras pads pictures of even sides: with a stride of
    two only behind.
    """

    def __init__(
        self, channels: int, filters: int, kernel: int, stride: int = 1, *, last: bool = False
    ) -> None:
        before, after = (
            ((kernel - 1) // 2, kernel // 2) if stride == 1 else ((kernel - 2) // 2, kernel // 2)
        )
        super().__init__(
            nn.ZeroPad2d((before, after, before, after)) if after else nn.Identity(),
            nn.Conv2d(channels, filters, kernel, stride, bias=False),
            nn.BatchNorm2d(filters, eps=1e-3, momentum=0.02),
        )
        nn.init.kaiming_normal_(self[1].weight)
        if last:
            nn.init.zeros_(self[2].weight)  # A bottleneck starts as the identity.


class Bottleneck(nn.Module):
    """A residual block: narrow, look around, widen."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.narrow = Convolution(channels, width, 1)
        self.look = Convolution(width, width, 3)
        self.widen = Convolution(width, channels, 1, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.look(functional.relu(self.narrow(x))))
        return functional.relu(x + self.widen(y))


class Trunk(nn.Sequential):
    """The architecture of `training.backbones.bundled`, up to its last feature map. Takes pixels of
    0 to 255.
    """

    def __init__(self) -> None:
        parts: list[nn.Module] = [Convolution(3, bundled.STEM, 3, 2), nn.ReLU()]
        channels = bundled.STEM
        for filters, width, blocks in bundled.STAGES:
            parts += [Convolution(channels, filters, 3, 2), nn.ReLU()]
            parts += [Bottleneck(filters, width) for _ in range(blocks)]
            channels = filters
        super().__init__(*parts, Convolution(channels, bundled.FEATURES, 1), nn.ReLU())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels / 127.5 - 1)

    def convolutions(self) -> list[Convolution]:
        """In the order of the network."""
        return [module for module in self.modules() if isinstance(module, Convolution)]


def export(trunk: Trunk, file: Path) -> None:
    """Fold the normalisations into the convolutions and store the weights as Keras orders them,
    rounded to float16.
    """
    stored: dict[str, np.ndarray] = {}
    for number, (_, convolution, norm) in enumerate(trunk.convolutions()):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        kernel = (convolution.weight * factor[:, None, None, None]).permute(2, 3, 1, 0)
        bias = norm.bias - norm.running_mean * factor
        for part, values in (("kernel", kernel), ("bias", bias)):
            stored[f"conv_{number:02d}_{part}"] = values.detach().numpy().astype(np.float16)
    np.savez_compressed(file, **stored)


@torch.no_grad()
def take_over(trunk: Trunk, file: Path, pixels: torch.Tensor) -> None:
    """Give a trunk exported weights, the opposite of `export`.

    A normalisation has to be put behind each convolution again: with the statistics of these
    pictures, shape (N, 3, side, side), and so that what comes out stays the same. Kernels get the
    length that fresh ones have, as the learning rate is made for those.
    """

    def restore(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        factor, bias = wanted.pop(norm)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
        norm.bias.copy_(bias + factor * mean)

    wanted, hooks = {}, []
    with np.load(file) as stored:
        for number, (_, convolution, norm) in enumerate(trunk.convolutions()):
            kernel, bias = (
                stored[f"conv_{number:02d}_{part}"].astype(np.float32)
                for part in ("kernel", "bias")
            )
            factor = np.sqrt(np.square(kernel).sum(axis=(0, 1, 2)) / 2)
            convolution.weight.copy_(torch.from_numpy(kernel / factor).permute(3, 2, 0, 1))
            wanted[norm] = torch.from_numpy(factor), torch.from_numpy(bias)
            hooks.append(norm.register_forward_pre_hook(restore))
    trunk.eval()(pixels)
    for hook in hooks:
        hook.remove()
