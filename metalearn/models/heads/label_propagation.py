"""Label propagation: labels spread along a graph of all examples of an episode."""

import torch
from torch import Tensor, nn

from ..._checks import check_positive, whole
from ..distances import squared_euclidean
from .head import NEVER
from .transduction import Known, Transductive


class LabelPropagation(Transductive):
    r"""Labels spread from the support set to the queries along a graph of similarities.

    All examples of an episode are nodes, joined by
    $A_{ij} = \exp(-\frac12 \|z_i - z_j\|^2 / (\sigma^2 v))$, where $v$ is the mean of the squared distances
    between them; an edge stays if it is among the nearest of one of its ends, and none leads to its own
    start. With $S = D^{-1/2} A D^{-1/2}$, where $D$ holds the row sums of $A$, the scores are those rows of
    $a (I - \alpha S)^{-1} Y$ that belong to queries. $\sigma$ and $a$ are learned across tasks; the paper
    has no $a$ and learns a $\sigma$ for each example by a network.

    Liu and others (2019), TPN, https://arxiv.org/abs/1805.10002; Zhou and others (2004), Learning with
    local and global consistency,
    https://papers.nips.cc/paper_files/paper/2003/hash/87682805257e619d49b8e0dfdc14affa-Abstract.html

    Args:
        alpha: how much a node listens to its neighbours, above 0 and below 1; the papers take 0.99.
        bandwidth: the $\sigma$ that training starts from, positive.
        neighbours: how many edges each node keeps; the paper takes 20.
        scale: the $a$ that training starts from, positive.

    Shape:
        as `Head`

    Raises:
        ValueError: an alpha that is not between 0 and 1, a bandwidth that is not positive, no neighbours.

    Example:
        >>> head = LabelPropagation(bandwidth=0.1)
        >>> z = torch.tensor([[[0.0], [10.0]]])
        >>> chain = torch.arange(1.0, 8.0)[None, :, None]  # seven queries lead from 0 towards 10
        >>> head.score(head.fit(z, torch.eye(2)[None]), chain).argmax(-1)  # the last is nearer to 10
        tensor([[0, 0, 0, 0, 0, 0, 0]])

    Derived in chapter 13, *Transductive heads*.
    """

    def __init__(
        self, alpha: float = 0.8, bandwidth: float = 0.3, neighbours: int = 5, scale: float = 1.0
    ):
        super().__init__()
        check_positive(alpha=alpha, bandwidth=bandwidth, scale=scale)
        if alpha >= 1:
            raise ValueError(f"alpha is {alpha}; it needs to be below 1")
        self.config = {
            "name": "label_propagation",
            "alpha": float(alpha),
            "bandwidth": float(bandwidth),
            "neighbours": whole("neighbours", neighbours),
            "scale": float(scale),
        }
        self.alpha, self.neighbours = float(alpha), neighbours
        self.log_bandwidth = nn.Parameter(torch.tensor(float(bandwidth)).log())
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())

    def score(self, state: Known, z_query: Tensor, weight: Tensor | None = None) -> Tensor:
        z_joining, weight_joining = state.joined_by(z_query, weight)
        z = torch.cat([state.z, z_joining], dim=1)
        real = torch.cat([state.membership.sum(-1), weight_joining], dim=1) > 0
        S = self._graph(z, real)
        identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        Y = torch.cat(
            [state.membership, z.new_zeros(*z_joining.shape[:2], state.membership.shape[-1])], 1
        )
        F = torch.cholesky_solve(Y, torch.linalg.cholesky(identity - self.alpha * S))
        return self.log_scale.exp() * F[:, z.shape[1] - z_query.shape[1] :]

    def _graph(self, z: Tensor, real: Tensor) -> Tensor:
        """S [B, M, M] of nodes z [B, M, D], of which some are real [B, M]."""
        loop = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
        joined = real[:, :, None] & real[:, None, :] & ~loop
        squared = squared_euclidean(z, z).where(joined, 0)
        mean = squared.sum((1, 2), keepdim=True) / joined.sum((1, 2), keepdim=True).clamp(min=1)
        log_A = -0.5 * squared / (self.log_bandwidth.exp().square() * mean.where(mean > 0, 1))
        log_A = log_A.masked_fill(~joined, NEVER)
        if self.neighbours < z.shape[1]:
            least = log_A.topk(self.neighbours, dim=-1).values[..., -1:]
            far = log_A < least
            joined = joined & ~(far & far.mT)
        log_degree = log_A.masked_fill(~joined, NEVER).logsumexp(-1, keepdim=True)
        return (log_A - (log_degree + log_degree.mT) / 2).where(joined, NEVER).exp()
