"""The heads that every specification is tried on: each by its name, and again with other options."""

import inspect

import torch
import torch.nn.functional as F

from metalearn import heads

B, N, N_FEATURES = 3, 4, 6
SHOTS = (1, 3, 2, 1)

VARIANTS = [(name, {}) for name in heads.names()] + [
    ("prototypical", {"distance": "euclidean"}),
    ("prototypical", {"distance": "manhattan"}),
    ("prototypical", {"distance": "cosine", "learn_scale": True}),
    ("prototypical", {"centre": "support", "normalise": True}),
    ("prototypical", {"centre": [0.1] * N_FEATURES, "normalise": True}),
    ("matching", {"distance": "squared_euclidean"}),
    ("matching", {"context_steps": 2, "learn_scale": True}),
    ("feat", {"learn_scale": True}),
    ("soft_k_means", {"use_queries": False}),
    ("label_propagation", {"neighbours": 3}),
    ("sinkhorn", {"balance": 0.5}),
    ("sinkhorn", {"balance": 1.0}),
    ("information_maximisation", {"balance": 1.0}),
]


def label(variant: tuple[str, dict]) -> str:
    name, options = variant
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def made(name: str, options: dict | None = None, n_features: int = N_FEATURES) -> heads.Head:
    """A head for embeddings of so many numbers, whether it asks for the number or not."""
    options = dict(options or {})
    if "n_features" in inspect.signature(type(heads.create(name))).parameters:
        options["n_features"] = n_features
    if isinstance(options.get("centre"), list):
        options["centre"] = options["centre"][:1] * n_features
    return heads.create(name, **options)


def episodes(shots=SHOTS, dtype=torch.float64, n_features=N_FEATURES, n_query=7, seed=0):
    """B episodes with unequal shots: z_support, targets, weight, z_query, query weight."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    z_support = torch.randn(B, len(y), n_features, generator=generator, dtype=dtype)
    z_query = torch.randn(B, n_query, n_features, generator=generator, dtype=dtype)
    targets = F.one_hot(y, len(shots)).to(dtype).expand(B, -1, -1)
    return z_support, targets, z_support.new_ones(B, len(y)), z_query, z_query.new_ones(B, n_query)


def scores(head, z_support, targets, weight, z_query, weight_query):
    return head.score(head.fit(z_support, targets, weight), z_query, weight_query)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
