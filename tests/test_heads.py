"""What every metric head keeps to, and each head against an oracle."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.neighbors import NearestCentroid

from metalearn import heads

B, N, D = 3, 4, 6
SHOTS = (1, 3, 2, 1)


def episodes(shots=SHOTS, dtype=torch.float64, n_features=D, n_query=7, seed=0):
    """B episodes with unequal shots: z_support, targets, weight, z_query, query weight."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    z_support = torch.randn(B, len(y), n_features, generator=generator, dtype=dtype)
    z_query = torch.randn(B, n_query, n_features, generator=generator, dtype=dtype)
    targets = F.one_hot(y, len(shots)).to(dtype).expand(B, -1, -1)
    return z_support, targets, z_support.new_ones(B, len(y)), z_query, z_query.new_ones(B, n_query)


VARIANTS = [(name, {}) for name in heads.names()] + [
    ("prototypical", {"distance": "euclidean"}),
    ("prototypical", {"distance": "manhattan"}),
    ("prototypical", {"distance": "cosine", "learn_scale": True}),
    ("prototypical", {"centre": "support", "normalise": True}),
    ("prototypical", {"centre": [0.1] * D, "normalise": True}),
    ("matching", {"distance": "squared_euclidean"}),
    ("matching", {"context_steps": 2, "learn_scale": True}),
    ("feat", {"learn_scale": True}),
    ("soft_k_means", {"use_queries": False}),
    ("label_propagation", {"neighbours": 3}),
    ("sinkhorn", {"balance": 0.5}),
    ("sinkhorn", {"balance": 1.0}),
    ("information_maximisation", {"balance": 1.0}),
]


def made(name, options, n_features=D):
    """A head in evaluation mode, of float64; its options, and the number of features if it asks for it."""
    options = dict(options)
    if "n_features" in inspect.signature(type(heads.create(name))).parameters:
        options["n_features"] = n_features
    if name == "support_vector":
        options.setdefault("tolerance", 1e-13)
    return heads.create(name, **options).double().eval()


def label(variant):
    name, options = variant
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def scores(head, z_support, targets, weight, z_query, weight_query):
    return head.score(head.fit(z_support, targets, weight), z_query, weight_query)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture(params=VARIANTS, ids=label)
def head(request):
    return made(*request.param)


def test_many_episodes_at_once_equal_one_by_one(head):
    data = episodes()
    alone = [scores(head, *(tensor[b : b + 1] for tensor in data)) for b in range(B)]
    close(scores(head, *data), torch.cat(alone))


def test_order_of_the_support_set_matters_only_if_the_head_says_so(head):
    z, targets, weight, *query = episodes()
    order = torch.randperm(z.shape[1], generator=torch.Generator().manual_seed(1))
    shuffled = scores(head, z[:, order], targets[:, order], weight[:, order], *query)
    same = torch.allclose(scores(head, z, targets, weight, *query), shuffled, rtol=1e-9, atol=1e-9)
    assert same != head.order_matters


def test_renaming_classes_renames_answers(head):
    z, targets, weight, *query = episodes()
    names = torch.tensor([2, 0, 3, 1])
    close(
        scores(head, z, targets[..., names], weight, *query),
        scores(head, z, targets, weight, *query)[..., names],
    )


@pytest.mark.parametrize("value", [0.0, 1e3])
def test_padding_changes_nothing(head, value):
    z, targets, weight, z_query, weight_query = episodes()
    pad = (0, 0, 0, 2)
    padded = scores(
        head,
        F.pad(z, pad, value=value),
        F.pad(targets, pad, value=1.0),
        F.pad(weight, (0, 2)),
        F.pad(z_query, pad, value=value),
        F.pad(weight_query, (0, 2)),
    )
    close(padded[:, : z_query.shape[1]], scores(head, z, targets, weight, z_query, weight_query))


@pytest.mark.parametrize("value", [0.0, 1e3])
def test_padded_unlabelled_examples_change_nothing(head, value):
    z, targets, weight, z_query, weight_query = episodes()
    z_unlabelled, _, weight_unlabelled, *_ = episodes(seed=1)
    state = head.fit(z, targets, weight, z_unlabelled, weight_unlabelled)
    padded = head.fit(
        z,
        targets,
        weight,
        F.pad(z_unlabelled, (0, 0, 0, 2), value=value),
        F.pad(weight_unlabelled, (0, 2)),
    )
    close(head.score(padded, z_query, weight_query), head.score(state, z_query, weight_query))


def test_leaving_the_weights_out_means_that_nothing_is_padded(head):
    z, targets, weight, z_query, weight_query = episodes()
    close(
        head.score(head.fit(z, targets), z_query),
        scores(head, z, targets, weight, z_query, weight_query),
    )


def test_a_class_that_one_episode_lacks_changes_nothing_for_the_others(head):
    z, targets, weight, *query = episodes()
    wider = scores(head, z, F.pad(targets, (0, 1)), weight, *query)
    close(wider[..., :N], scores(head, z, targets, weight, *query))
    assert wider.isfinite().all()


def test_answer_depends_on_other_queries_exactly_if_transductive(head):
    z, targets, weight, z_query, weight_query = episodes()
    other = z_query.clone()
    other[:, 1:] += 1.0
    first = scores(head, z, targets, weight, z_query, weight_query)[:, 0]
    again = scores(head, z, targets, weight, other, weight_query)[:, 0]
    assert torch.allclose(first, again) != head.transductive


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["one shot", "equal examples", "zeros", "large", "512 dimensions"])
@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_scores_and_gradients_are_finite(variant, case, dtype):
    n_features = 512 if case == "512 dimensions" else D
    z, targets, weight, z_query, weight_query = episodes((1, 1, 1, 1), dtype, n_features)
    if case == "equal examples":
        z, z_query = z[:, :1].expand_as(z), z[:, :1].expand_as(z_query)
    if case == "zeros":
        z, z_query = torch.zeros_like(z), torch.zeros_like(z_query)
    if case == "large":
        z, z_query = 100 * z, 100 * z_query
    z = z.clone().requires_grad_()
    head = made(*variant, n_features=n_features).to(dtype)
    result = scores(head, z, targets, weight, z_query, weight_query)
    result.logsumexp(-1).sum().backward()
    assert result.isfinite().all()
    assert z.grad.isfinite().all()


def test_gradients_reach_the_embeddings_and_are_right(head):
    z, targets, weight, z_query, weight_query = episodes((1, 2), n_query=3)
    assert torch.autograd.gradcheck(
        lambda z, z_query: scores(head, z, targets, weight, z_query, weight_query),
        (z.requires_grad_(), z_query.requires_grad_()),
    )


def test_every_parameter_that_asks_for_a_gradient_gets_one(head):
    z, *rest = episodes()
    scores(head, z.requires_grad_(), *rest)[..., 0].square().sum().backward()
    asking = {name: p.grad for name, p in head.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in asking.values()), asking


def test_scoring_twice_gives_the_same_and_fit_keeps_nothing_in_the_head(head):
    first, second = episodes(seed=0), episodes(seed=1)
    before = {name: t.clone() for name, t in head.state_dict().items()}
    state = head.fit(*first[:3])
    expected = head.score(state, *first[3:])
    head.fit(*second[:3])
    assert torch.equal(head.score(state, *first[3:]), expected)
    assert all(torch.equal(t, before[name]) for name, t in head.state_dict().items())


def test_head_is_made_again_from_its_config(head):
    again = heads.create(**head.config).double().eval()
    again.load_state_dict(head.state_dict())
    data = episodes()
    assert torch.equal(scores(again, *data), scores(head, *data))


def test_unknown_head_and_distance_list_the_known():
    with pytest.raises(
        ValueError, match="unknown head 'prototipical'; known, closest first: proto"
    ):
        heads.create("prototipical")
    with pytest.raises(ValueError, match="unknown distance 'euclid'"):
        heads.Prototypical(distance="euclid")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("prototypical", {"scale": 0.0}, "scale is 0.0; it needs to be positive"),
        ("ridge", {"regularisation": -1.0}, "regularisation is -1.0"),
        ("soft_k_means", {"steps": 0}, "steps is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        heads.create(name, **options)


# Prototypical


def test_prototypical_agrees_with_nearest_centroid():
    data = episodes(n_query=50)
    chosen = scores(heads.Prototypical().double(), *data).argmax(-1)
    for b in range(B):
        oracle = NearestCentroid().fit(data[0][b], data[1][b].argmax(-1))
        assert (oracle.predict(data[3][b]) == chosen[b].numpy()).all()


def test_scale_changes_probabilities_and_no_ranking():
    data = episodes()
    one, ten = (scores(heads.Prototypical(scale=s).double(), *data) for s in (1.0, 10.0))
    torch.testing.assert_close(ten, 10 * one, rtol=1e-6, atol=0)


def test_only_a_learned_scale_is_trained():
    for learn in (False, True):
        head = heads.Prototypical(learn_scale=learn)
        assert [p.requires_grad for p in head.parameters()] == [learn]


# Ridge


@pytest.mark.parametrize("n_examples", [4, 11], ids=["fewer examples than dimensions", "more"])
def test_ridge_agrees_with_scikit_learn_on_real_targets(n_examples):
    generator = torch.Generator().manual_seed(0)
    z, z_query = (torch.randn(B, n, D, generator=generator).double() for n in (n_examples, 5))
    y = torch.randn(B, n_examples, 2, generator=generator).double()
    weight = torch.rand(B, n_examples, generator=generator).double()
    head = heads.Ridge(regularisation=0.5).double()
    values = head.score(head.fit(z, y, weight), z_query)
    for b in range(B):
        oracle = SklearnRidge(alpha=head.log_regularisation.exp().item(), fit_intercept=False)
        oracle.fit(z[b], y[b], sample_weight=weight[b].numpy())
        np.testing.assert_allclose(values[b].detach(), oracle.predict(z_query[b]), atol=1e-9)


def test_ridge_solution_has_zero_gradient():
    z, targets, weight, *_ = episodes()
    head = heads.Ridge(regularisation=0.3).double()
    W = head.fit(z, targets, weight).detach().requires_grad_()
    objective = (
        (z @ W - targets).square()
    ).sum() + head.log_regularisation.exp() * W.square().sum()
    (gradient,) = torch.autograd.grad(objective, W)
    assert gradient.abs().max() < 1e-12


def test_ridge_target_of_zero_is_data_and_weight_of_zero_is_absence():
    z = torch.tensor([[[1.0], [1.0]]])
    y = torch.tensor([[[2.0], [0.0]]])
    head = heads.Ridge(regularisation=1e-6)
    both = head.fit(z, y)
    one = head.fit(z, y, weight=torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(both, torch.tensor([[[1.0]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(one, torch.tensor([[[2.0]]]), atol=1e-4, rtol=0)


# Soft k-means


@pytest.mark.parametrize("n_unlabelled", [0, 2])
def test_soft_k_means_is_one_step_by_hand(n_unlabelled):
    """Centres 0 and 4; what lies at 1 belongs to them by weights 1/(1+e^-8) and the rest.

    That is the query, and unlabelled examples beside it.
    """
    head = heads.SoftKMeans().double()
    z, targets = torch.tensor([[[0.0], [4.0]]]).double(), torch.eye(2).double()[None]
    state = head.fit(z, targets, z_unlabelled=torch.ones(1, n_unlabelled, 1).double())
    n = n_unlabelled + 1
    near = 1 / (1 + np.exp(-8.0))
    centre_0 = n * near / (1 + n * near)
    centre_1 = (4 + n * (1 - near)) / (1 + n * (1 - near))
    logits = head.score(state, torch.tensor([[[1.0]]]).double())
    np.testing.assert_allclose(logits[0, 0], [-((1 - centre_0) ** 2), -((1 - centre_1) ** 2)])


def test_soft_k_means_without_queries_is_inductive_and_learns_from_unlabelled_examples():
    z, targets, weight, z_query, weight_query = episodes()
    head = heads.SoftKMeans(use_queries=False).double()
    assert not head.transductive
    plain = heads.Prototypical().double()
    close(
        head.score(head.fit(z, targets, weight), z_query),
        scores(plain, z, targets, weight, z_query, weight_query),
    )
    helped = head.fit(z, targets, weight, z_unlabelled=z_query)
    transductive = heads.SoftKMeans().double()
    close(
        head.score(helped, z_query), scores(transductive, z, targets, weight, z_query, weight_query)
    )


def test_two_steps_of_soft_k_means_are_not_one():
    z, query = torch.tensor([[[0.0], [4.0]]]), torch.tensor([[[1.0], [2.5]]])
    one, two = (
        head.score(head.fit(z, torch.eye(2)[None]), query)
        for head in (heads.SoftKMeans(steps=1), heads.SoftKMeans(steps=2))
    )
    assert not torch.allclose(one, two)
