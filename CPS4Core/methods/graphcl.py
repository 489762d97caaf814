"""GraphCL: copy-paste as in BCP, and deep features that form clusters on their graph."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from CPS4Core.config import Positive, Share, Stage2Config
from CPS4Core.methods.bcp import BCP
from CPS4Core.methods.method import Batch, register
from CPS4Core.methods.options import Weight
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.schema import LabelSchema


@register("graphcl", "Wang et al., ICML 2025; re-implemented from descriptions, without alignment")
class GraphCL(BCP):
    """`L = L_BCP + kappa L_CC` with `L_CC = -1/N^2 sum_ij W_ij (S S^T)_ij` over the N cells of the
    deepest level, each image a graph.

    F are its features, L2-normalised; `W = F F^T - max(F F^T) / tau`; `S = softmax(MLP(GCN(F)))`,
    whose GCN joins cells with W > 0: `GCN(F) = relu(D^-1/2 (W^+ + I) D^-1/2 F Theta)`. Inference
    uses the student without the graph.
    Deviations: the authors' code was not at hand. The clustering follows the loss of DeepCut
    (Aflalo et al., 2023) that the paper builds on: taken literally, the paper's `W = (F F^T - max)
    / tau` is nowhere positive and tau only scales it. The mean over N^2, the number of clusters and
    what the nodes are is our choice. The alignment of a batch's structures is left out: its
    analyser is not described well enough to build, and it would make a result depend on the batch.
    """

    class Options(BCP.Options):
        cluster_weight: Weight = 0.01
        """kappa."""
        tau: Annotated[float, Field(ge=1)] = 2.0
        clusters: Positive = 10
        graph_width: Positive = 64
        dropout: Share = 0.25

    own: Options

    def __init__(self, network: ResUNet, schema: LabelSchema, options: Stage2Config):
        super().__init__(network, schema, options)
        width = self.own.graph_width
        self.theta = nn.Linear(network.widths[-1], width).to(self.device)
        self.assign = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.ELU(),
            nn.Dropout(self.own.dropout),
            nn.Linear(width // 2, self.own.clusters),
        ).to(self.device)

    def all_losses(self, batch: Batch) -> dict[str, Tensor]:
        pasted = self.pasted(batch)
        levels = self.network.encode(torch.cat([part.images for part in pasted]))
        logits = self.network.head(self.network.decode(levels))
        clustering = self.own.cluster_weight * self.clustering(levels[-1])
        return self.pasted_losses(logits, pasted) | {"clustering": clustering}

    def clustering(self, features: Tensor) -> Tensor:
        """`L_CC` of features [B, C, rows, cols], the mean over the images."""
        with torch.autocast(features.device.type, enabled=False):
            nodes = F.normalize(features.float().flatten(2).transpose(1, 2), dim=2)
            affinity = affinities(nodes, self.own.tau)
            joined = torch.relu(normalised_adjacency(affinity) @ self.theta(nodes))
            clusters = self.assign(joined).softmax(dim=2)
            return -(affinity * (clusters @ clusters.transpose(1, 2))).mean()


def affinities(nodes: Tensor, tau: float) -> Tensor:
    """`W = F F^T - max(F F^T) / tau` of nodes [B, N, C]: [B, N, N], the maximum of each image."""
    products = nodes @ nodes.transpose(1, 2)
    return products - products.amax(dim=(1, 2), keepdim=True) / tau


def normalised_adjacency(affinity: Tensor) -> Tensor:
    """`D^-1/2 (W^+ + I) D^-1/2` [B, N, N], D the row sums."""
    edges = affinity.clamp_min(0) + torch.eye(affinity.shape[1], device=affinity.device)
    scale = edges.sum(dim=2).rsqrt()
    return scale[:, :, None] * edges * scale[:, None, :]
