"""Full context embeddings: the support set changes how each of its examples, and a query, is embedded."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..._checks import seed_of, whole
from ..backbones.building import seeded


class FullContext(nn.Module):
    r"""The embeddings $g(x_i, S)$ and $f(\hat x, S)$ of matching networks.

    The support set is read as a sequence by a bidirectional LSTM, whose two outputs are added to each
    embedding: $g_i = z_i + \overrightarrow{h}_i + \overleftarrow{h}_i$. A query reads the support set $K$
    times by attention: from $h_0 = z$, $c_0 = 0$,
    $r_{k-1} = \sum_i \text{softmax}_i(h_{k-1}^\top g_i) \, g_i$,
    $\hat h_k, c_k = \text{LSTM}(z, [h_{k-1}, r_{k-1}], c_{k-1})$ and $h_k = \hat h_k + z$; then $f = h_K$.

    Vinyals and others (2016), appendix A, https://arxiv.org/abs/1606.04080

    Args:
        n_features: D
        steps: $K$, at least 1.
        seed: of the initial weights.

    Derived in chapter 9, *Matching networks*.
    """

    def __init__(self, n_features: int, steps: int, seed: int = 0):
        super().__init__()
        n_features, self.steps = whole("n_features", n_features), whole("steps", steps)
        with seeded(seed_of(seed)):
            self.read = nn.LSTM(n_features, n_features, batch_first=True, bidirectional=True)
            self.attend = nn.LSTMCell(2 * n_features, n_features)

    def support(self, z: Tensor, weight: Tensor) -> Tensor:
        """g: z [B, S, D] and weight [B, S] -> [B, S, D]; padding is passed over."""
        first_real = weight.argsort(dim=1, descending=True, stable=True)[..., None].expand_as(z)
        lengths = (weight > 0).sum(1).cpu()
        packed = pack_padded_sequence(z.gather(1, first_real), lengths, True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.read(packed)[0], batch_first=True, total_length=z.shape[1])
        forwards, backwards = h.chunk(2, dim=-1)
        return z + torch.zeros_like(z).scatter(1, first_real, forwards + backwards)

    def query(self, z: Tensor, g: Tensor, weight: Tensor) -> Tensor:
        """f: z [B, Q, D], the support set's g [B, S, D] and weight [B, S] -> [B, Q, D]."""
        absent = (weight == 0)[:, None]
        h, c = z, torch.zeros_like(z)
        for _ in range(self.steps):
            attention = (h @ g.mT).masked_fill(absent, -torch.inf).softmax(-1)
            r = attention @ g
            read = torch.cat([z, r], dim=-1).flatten(0, 1)
            h, c = self.attend(read, (h.flatten(0, 1), c.flatten(0, 1)))
            h, c = z + h.unflatten(0, z.shape[:2]), c.unflatten(0, z.shape[:2])
        return h
