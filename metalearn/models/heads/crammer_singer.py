r"""The multi-class support vector machine of Crammer and Singer (2001), solved for many episodes at once.

https://www.jmlr.org/papers/v2/crammer01a.html

$\min_W \frac12 \|W\|^2 + \sum_i C_i \, \xi_i$ where $\xi_i = \max_k (w_k \cdot z_i + [k \ne y_i]) - w_{y_i}
\cdot z_i$. With $G = Z Z^\top$ and one row of $\alpha$ [S, N] for each example, its dual is

$\max_\alpha \text{tr}(Y^\top \alpha) - \frac12 \text{tr}(\alpha^\top G \alpha)$ with
$\alpha \le \text{diag}(C) \, Y$ and rows that sum to 0; then $W = Z^\top \alpha$.

An example whose row is not zero is a support vector.
"""

from typing import Any

import torch
from torch import Tensor

ROUNDS = 100
STEPS_IN_ROUND = 100
DIRECTIONS = 100
"""Limits of the search: rounds, projected steps in each, and directions of conjugate gradients."""


class DualSolution(torch.autograd.Function):
    r"""$\alpha$ [B, S, N] for Gram matrices G [B, S, S], targets Y [B, S, N] and bounds [B, S, N].

    A class that an episode lacks has targets far above 1: no margin is asked of it, and its entries are 0.
    Found in float64 until each episode's duality gap is below `tolerance` times its primal value. The
    gradient is that of the optimum itself: where a small change of G leaves the set of free entries as it
    is, $d\alpha = -H^+ \, dG \, \alpha$, with $H$ the curvature $G$ within the directions that are free.

    Raises:
        FloatingPointError: the gap is still larger after all rounds.
    """

    @staticmethod
    def forward(ctx: Any, G: Tensor, Y: Tensor, upper: Tensor, tolerance: float) -> Tensor:
        gram, target, bound = G.double(), Y.double(), upper.double()
        alpha = solve(gram, target, bound, tolerance)
        ctx.save_for_backward(gram, alpha, below(alpha, bound, 1e-9))
        return alpha.to(G.dtype)

    @staticmethod
    def backward(ctx: Any, grad_alpha: Tensor) -> tuple[Tensor | None, ...]:
        gram, alpha, free = ctx.saved_tensors
        u = within_face(gram, free, grad_alpha.double())
        grad_gram = -(u @ alpha.mT + alpha @ u.mT) / 2
        return grad_gram.to(grad_alpha.dtype), None, None, None


def solve(G: Tensor, Y: Tensor, upper: Tensor, tolerance: float) -> Tensor:
    """The optimal alpha [B, S, N]; arguments as in `DualSolution`, all float64.

    Projected gradient steps with momentum find which entries are free; then conjugate gradients go
    straight to the optimum among these, as far as the bounds allow.
    """
    curvature = torch.linalg.eigvalsh(G)[:, -1:, None].clamp(min=1e-6)
    alpha = torch.zeros_like(Y)
    for _ in range(ROUNDS):
        alpha = _projected_steps(G, Y, upper, alpha, curvature)
        step = within_face(G, below(alpha, upper, 1e-12), Y - G @ alpha)
        room = torch.where(step > 0, (upper - alpha) / step.where(step > 0, 1), torch.inf)
        alpha = alpha + room.amin((1, 2), keepdim=True).clamp(0, 1) * step
        gap, primal = duality_gap(G, Y, upper, alpha)
        if (gap <= tolerance * primal).all():
            return alpha
    worst = (gap / primal).max().item()
    raise FloatingPointError(
        f"the support vector machine has a relative duality gap of {worst:.1e} after {ROUNDS} rounds; "
        f"it needs {tolerance:.1e}"
    )


def below(alpha: Tensor, upper: Tensor, margin: float) -> Tensor:
    """Which entries are free to rise: below their bound by more than rounding, in units of the largest."""
    return alpha < upper - margin * alpha.abs().amax((1, 2), keepdim=True)


def duality_gap(G: Tensor, Y: Tensor, upper: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """How far a feasible alpha is from the optimum at most, and the primal value; both [B]."""
    scores = G @ alpha
    norm = (alpha * scores).sum((1, 2))
    own = (scores * Y).sum(-1, keepdim=True)
    slack = (scores + 1 - Y - own).amax(-1)
    primal = norm / 2 + (upper.sum(-1) * slack).sum(1)
    return primal + norm / 2 - (Y * alpha).sum((1, 2)), primal


def within_face(G: Tensor, free: Tensor, right: Tensor) -> Tensor:
    """U [B, S, N] with P G u = P right, by conjugate gradients.

    P keeps the free entries and makes each row of them sum to 0.
    """
    n_free = free.sum(-1, keepdim=True).clamp(min=1)

    def P(v: Tensor) -> Tensor:
        v = torch.where(free, v, 0)
        return torch.where(free, v - v.sum(-1, keepdim=True) / n_free, 0)

    residual = P(right)
    u, direction = torch.zeros_like(right), residual
    size = residual.square().sum((1, 2), keepdim=True)
    flat = 1e-13 * G.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    enough = 1e-26 * torch.where(free, right, 0).square().sum((1, 2), keepdim=True)
    for _ in range(DIRECTIONS):
        ahead = P(G @ direction)
        curvature = (direction * ahead).sum((1, 2), keepdim=True)
        go_on = (size > enough) & (curvature > flat * direction.square().sum((1, 2), keepdim=True))
        if not go_on.any():
            break
        step = torch.where(go_on, size / curvature.where(go_on, 1), 0)
        u, residual = u + step * direction, residual - step * ahead
        size, before = residual.square().sum((1, 2), keepdim=True), size
        direction = residual + size / before.where(go_on, 1) * direction
    return u


def _projected_steps(
    G: Tensor, Y: Tensor, upper: Tensor, alpha: Tensor, curvature: Tensor
) -> Tensor:
    """Gradient steps with Nesterov's momentum, which an episode loses when it leads uphill."""
    ahead, t = alpha, torch.ones_like(curvature)
    for _ in range(STEPS_IN_ROUND):
        new = project(ahead + (Y - G @ ahead) / curvature, upper)
        uphill = ((ahead - new) * (new - alpha)).sum((1, 2), keepdim=True) > 0
        t = torch.where(uphill, 1, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        ahead, alpha, t = new + (t - 1) / t_next * (new - alpha), new, t_next
    return alpha


def project(alpha: Tensor, upper: Tensor) -> Tensor:
    """The nearest rows below `upper` that sum to 0: what lies below it is projected to a simplex.

    Duchi, Shalev-Shwartz, Singer, Chandra (2008), https://doi.org/10.1145/1390156.1390191
    """
    below = upper - alpha
    total = upper.sum(-1, keepdim=True)
    descending = below.sort(-1, descending=True).values
    excess = descending.cumsum(-1) - total
    rank = torch.arange(1, below.shape[-1] + 1, dtype=below.dtype, device=below.device)
    n_kept = (descending * rank > excess).sum(-1, keepdim=True).clamp(min=1)
    threshold = excess.gather(-1, n_kept - 1) / n_kept
    return upper - (below - threshold).clamp(min=0)
