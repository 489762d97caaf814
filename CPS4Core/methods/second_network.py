"""A second network of the same kind that starts elsewhere, for methods in which two disagree."""

from __future__ import annotations

import copy

from torch import nn

from CPS4Core.networks.resunet import ResUNet


def second_network(network: ResUNet) -> ResUNet:
    """The same architecture with new random weights, even where `network` came trained: equal
    networks would agree for ever."""
    second = copy.deepcopy(network)
    for module in second.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            module.reset_parameters()
    return second
