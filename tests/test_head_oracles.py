"""Each metric head against an oracle: another library, a formula written out, or numbers on paper."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from head_variants import N_FEATURES as D
from head_variants import B, N, close, episodes, made, scores
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC

from metalearn import heads
from metalearn.models.heads import crammer_singer

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


# Prototypical, centred and normalised


def test_centring_and_normalising_are_done_before_the_means():
    z, targets, weight, z_query, weight_query = episodes()
    mean = torch.linspace(-1, 1, D).double()
    head = heads.Prototypical(centre=mean, normalise=True).double()
    head.mean = mean  # not rounded to float32

    def placed(x):
        return F.normalize(x - mean, dim=-1)

    expected = scores(
        heads.Prototypical().double(), placed(z), targets, weight, placed(z_query), weight_query
    )
    close(scores(head, z, targets, weight, z_query, weight_query), expected)


def test_the_support_sets_own_centre_counts_every_class_once():
    z, targets, *_ = episodes()
    state = heads.Prototypical(centre="support").double().fit(z, targets)
    each = torch.stack([z[:, targets[0, :, k] > 0].mean(1) for k in range(N)], dim=1)
    close(state.origin, each.mean(1, keepdim=True))


# Mahalanobis


def test_mahalanobis_covariance_agrees_with_numpy():
    shots = (4, 2, 1)
    z, targets, weight, *_ = episodes(shots)
    Q = heads.Mahalanobis(regularisation=0.5).double().fit(z, targets, weight).covariance
    for b in range(B):
        shared = np.cov(z[b].T)
        for k, n in enumerate(shots):
            own = np.cov(z[b][targets[b, :, k] > 0].T) if n > 1 else np.zeros((D, D))
            expected = n / (n + 1) * own + 1 / (n + 1) * shared + 0.5 * np.eye(D)
            np.testing.assert_allclose(Q[b, k], expected, atol=1e-12)


def test_mahalanobis_scores_are_gaussian_log_likelihoods_but_for_their_volume():
    z, targets, weight, z_query, _ = episodes()
    head = heads.Mahalanobis().double()
    state = head.fit(z, targets, weight)
    gaussian = torch.distributions.MultivariateNormal(
        state.centres[:, None], state.covariance[:, None]
    )
    volume = (state.covariance.logdet() + D * np.log(2 * np.pi)) / 2
    expected = gaussian.log_prob(z_query[:, :, None]) + volume[:, None]
    close(head.score(state, z_query), expected)


# Siamese


def test_siamese_is_the_mean_log_odds_of_pairs():
    z, targets, weight, z_query, _ = episodes()
    head = heads.Siamese(n_features=D).double()
    with torch.no_grad():
        head.log_weight.copy_(torch.linspace(-1, 1, D))
    logits = head.score(head.fit(z, targets, weight), z_query)
    pairs = head.bias - (z_query[:, :, None] - z[:, None]).abs() @ head.log_weight.exp()
    for k in range(N):
        close(logits[..., k], pairs[:, :, targets[0, :, k] > 0].mean(-1))


# Matching


@pytest.mark.parametrize("distance", ["cosine", "squared_euclidean"])
def test_matching_is_attention_by_hand(distance):
    z, targets, weight, z_query, weight_query = episodes()
    head = heads.Matching(distance=distance, scale=3.0).double()
    likeness = {
        "cosine": F.cosine_similarity(z_query[:, :, None], z[:, None], dim=-1),
        "squared_euclidean": -(z_query[:, :, None] - z[:, None]).square().sum(-1),
    }[distance]
    attention = (head.log_scale.exp() * likeness).softmax(-1)
    p = scores(head, z, targets, weight, z_query, weight_query).exp()
    close(p, attention @ targets)
    close(p.sum(-1), torch.ones(B, 7).double())


def test_matching_with_real_targets_is_nadaraya_watson():
    z, _, weight, z_query, _ = episodes()
    y = z[..., :1].sin()
    head = heads.Matching(distance="squared_euclidean", scale=2.0, regression=True).double()
    values = head.score(head.fit(z, y, weight), z_query)
    for b in range(B):
        for q in range(7):
            squared = (z[b] - z_query[b, q]).square().sum(-1)
            kernel = (-head.log_scale.exp() * squared).exp()
            expected = (kernel[:, None] * y[b]).sum(0) / kernel.sum()
            close(values[b, q], expected)


def test_matching_keeps_far_queries_apart():
    """Every kernel is 0 in float32 there; the logarithms are not."""
    z = torch.tensor([[[0.0], [1.0]]])
    head = heads.Matching(distance="squared_euclidean", scale=1.0)
    logits = head.score(head.fit(z, torch.eye(2)[None]), torch.tensor([[[100.0]]]))
    torch.testing.assert_close(logits[0, 0, 1] - logits[0, 0, 0], torch.tensor(199.0))


def test_full_context_reads_a_padded_support_set_as_if_it_were_short():
    head = heads.Matching(context_steps=2, n_features=D).double()
    z, targets, _, z_query, _ = episodes()
    weight = torch.ones(B, z.shape[1]).double()
    weight[:, 2] = 0  # in the middle
    kept = [0, 1, 3, 4, 5, 6]
    close(
        head.score(head.fit(z, targets, weight), z_query),
        head.score(head.fit(z[:, kept], targets[:, kept]), z_query),
    )


# Feat


def test_feat_is_attention_by_hand():
    z, targets, weight, z_query, _ = episodes()
    head = heads.Feat(n_features=D, seed=3).double()
    state = head.fit(z, targets, weight)
    W_q, W_k, W_v, W_o = (
        layer.weight.T for layer in (head.to_query, head.to_key, head.to_value, head.to_output)
    )
    for b in range(B):
        C = torch.stack([z[b][targets[b, :, k] > 0].mean(0) for k in range(N)])
        A = ((C @ W_q) @ (C @ W_k).T / D**0.5).softmax(-1)
        adapted = F.layer_norm(C + A @ C @ W_v @ W_o, (D,))
        close(state[b], adapted)
        close(head.score(state, z_query)[b], -(torch.cdist(z_query[b], adapted) ** 2))


# Relation


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_relation_looks_at_each_pair_side_by_side(kernel_size):
    generator = torch.Generator().manual_seed(0)
    z, z_query = (torch.rand(B, n, D, 5, 5, generator=generator) for n in (4, 3))
    targets = torch.eye(2).repeat_interleave(2, 0).expand(B, -1, -1)
    head = heads.Relation(n_features=D, width=4, kernel_size=kernel_size).eval()
    logits = head.score(head.fit(z, targets), z_query)
    for k in range(2):
        centre = z[:, 2 * k : 2 * k + 2].mean(1)
        for q in range(3):
            pair = torch.cat([centre, z_query[:, q]], dim=1)
            torch.testing.assert_close(
                logits[:, q, k], head.judge(head.compare(pair).mean((2, 3)))[:, 0]
            )


def test_relation_in_training_mode_takes_no_statistics_of_padding_or_absent_classes():
    z, targets, weight, z_query, weight_query = episodes()
    plain, padded = (heads.Relation(n_features=D).double().train() for _ in range(2))
    scores(plain, z, targets, weight, z_query, weight_query)
    pad = (0, 0, 0, 2)
    scores(
        padded,
        F.pad(z, pad, value=9.0),
        F.pad(targets, (0, 1, 0, 2)),
        F.pad(weight, (0, 2)),
        F.pad(z_query, pad, value=9.0),
        F.pad(weight_query, (0, 2)),
    )
    for name, value in plain.state_dict().items():
        close(padded.state_dict()[name], value)


# Support vector machine


@pytest.mark.parametrize("C", [0.1, 10.0])
def test_support_vector_machine_agrees_with_scikit_learn(C):
    """The same objective to five digits; `liblinear` stops early, and never below ours."""
    z, targets, weight, *_ = episodes((6, 3, 5, 4), seed=2)
    W = heads.SupportVector(C=C, tolerance=1e-10).double().fit(z, targets, weight)

    def objective(W, z, y):
        scores = z @ W
        own = scores.gather(-1, y[:, None])
        margins = (scores + 1 - F.one_hot(y, N) - own).amax(-1)
        return (W.square().sum() / 2 + C * margins.sum()).item()

    for b in range(B):
        y = targets[b].argmax(-1)
        oracle = LinearSVC(
            multi_class="crammer_singer", fit_intercept=False, C=C, tol=1e-8, max_iter=100_000
        ).fit(z[b], y)
        theirs = objective(torch.tensor(oracle.coef_.T), z[b], y)
        ours = objective(W[b].detach(), z[b], y)
        assert ours <= theirs * (1 + 1e-9)
        assert ours == pytest.approx(theirs, rel=1e-5)
        np.testing.assert_allclose(W[b].detach(), oracle.coef_.T, atol=1e-3)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_support_vector_machine_keeps_its_tolerance(tolerance):
    z, targets, *_ = episodes((6, 3, 5, 4))
    upper = 0.5 * targets
    alpha = crammer_singer.solve(z @ z.mT, targets, upper, tolerance)
    gap, primal = crammer_singer.duality_gap(z @ z.mT, targets, upper, alpha)
    assert (gap <= tolerance * primal).all()
    assert (gap >= -1e-12).all()
    assert (alpha <= upper + 1e-12).all()
    close(alpha.sum(-1), torch.zeros(B, 18).double())


def test_support_vector_machine_says_when_it_does_not_get_there(monkeypatch):
    monkeypatch.setattr(crammer_singer, "ROUNDS", 1)
    monkeypatch.setattr(crammer_singer, "STEPS_IN_ROUND", 1)
    monkeypatch.setattr(crammer_singer, "DIRECTIONS", 1)
    z, targets, *_ = episodes((6, 3, 5, 4))
    with pytest.raises(FloatingPointError, match=r"relative duality gap of .*; it needs 1.0e-06"):
        heads.SupportVector().double().fit(z, targets)


def test_projection_is_the_nearest_feasible_row():
    generator = torch.Generator().manual_seed(0)
    alpha = torch.randn(20, 4, generator=generator).double()
    upper = F.one_hot(torch.arange(20) % 4, 4).double()
    nearest = crammer_singer.project(alpha, upper)
    assert (nearest <= upper + 1e-12).all()
    close(nearest.sum(-1), torch.zeros(20).double())
    for _ in range(50):
        other = crammer_singer.project(torch.randn(20, 4, generator=generator).double(), upper)
        assert (((alpha - nearest) * (other - nearest)).sum(-1) < 1e-9).all()


# Cosine classifier


def test_cosine_classifier_without_steps_is_prototypes_of_unit_vectors():
    z, targets, weight, z_query, weight_query = episodes()
    proto = heads.Prototypical(distance="cosine", scale=10.0).double()
    expected = scores(proto, F.normalize(z, dim=-1), targets, weight, z_query, weight_query)
    result = scores(
        heads.CosineClassifier(steps=0).double(), z, targets, weight, z_query, weight_query
    )
    torch.testing.assert_close(result - result[..., :1], expected - expected[..., :1])


def test_a_step_of_the_cosine_classifier_is_the_gradient_on_the_sphere():
    z, targets, weight, *_ = episodes()
    W = heads.CosineClassifier(steps=0).double().fit(z, targets).requires_grad_()
    logits = 10 * F.normalize(z, dim=-1) @ F.normalize(W, dim=-1).mT
    loss = F.cross_entropy(logits.flatten(0, 1), targets.argmax(-1).flatten(), reduction="none")
    (gradient,) = torch.autograd.grad(loss.view(B, -1).mean(1).sum(), W)
    one_step = heads.CosineClassifier(steps=1, learning_rate=0.1).double().fit(z, targets, weight)
    close(one_step, F.normalize(W - 0.1 * gradient, dim=-1).detach())


# Label propagation


def test_label_propagation_solves_its_linear_system():
    z, targets, weight, z_query, weight_query = episodes()
    head = heads.LabelPropagation(alpha=0.7, bandwidth=0.5, neighbours=99).double()
    F_query = scores(head, z, targets, weight, z_query, weight_query)
    for b in range(B):
        nodes = torch.cat([z[b], z_query[b]])
        squared = torch.cdist(nodes, nodes) ** 2
        n = len(nodes)
        v = squared.sum() / (n * (n - 1))
        sigma = head.log_bandwidth.exp().detach()
        A = torch.exp(-squared / (2 * sigma**2 * v)).fill_diagonal_(0)
        S = A / (A.sum(0)[:, None] * A.sum(0)).sqrt()
        Y = F.pad(targets[b], (0, 0, 0, 7))
        spread = Y
        for _ in range(300):
            spread = 0.7 * S @ spread + Y
        close(F_query[b].detach(), spread[len(z[b]) :])


def test_label_propagation_keeps_an_edge_that_one_end_calls_near():
    """On a line at 0, 1 and 3 with one neighbour each: 1 is nearest to 0, and 3 calls 1."""
    z, query = torch.tensor([[[0.0], [3.0]]]), torch.tensor([[[1.0]]])
    head = heads.LabelPropagation(neighbours=1)
    logits = head.score(head.fit(z, torch.eye(2)[None]), query)
    assert (logits > 0).all()


# Sinkhorn


def test_sinkhorn_spreads_queries_evenly_where_it_is_told_to():
    z, targets, weight, z_query, weight_query = episodes(n_query=12)
    weight_query[:, 8:] = 0
    told, not_told = (
        scores(head, z, targets, weight, z_query, weight_query).exp()
        for head in (
            heads.Sinkhorn(balance=1.0, scale=3.0).double(),
            heads.Sinkhorn(balance=0.0, scale=3.0).double(),
        )
    )
    for share in (told, not_told):
        close(share.sum(-1), torch.ones(B, 12).double())
    np.testing.assert_allclose(told[:, :8].sum(1), 8 / N, atol=1e-3)
    assert (not_told[:, :8].sum(1) - 8 / N).abs().max() > 0.5


def test_sinkhorn_scales_rows_and_columns_in_turn():
    """Centres that do not move: P is the kernel with its rows and columns scaled until both are right."""
    z, targets, weight, z_query, weight_query = episodes((1, 1, 1))
    head = heads.Sinkhorn(balance=1.0, scale=2.0, steps=30, rate=1e-9).double()
    share = scores(head, z, targets, weight, z_query, weight_query).exp()
    unit_z, unit_query = F.normalize(z, dim=-1), F.normalize(z_query, dim=-1)
    plan = torch.exp(-2.0 * torch.cdist(unit_query, unit_z) ** 2)
    for _ in range(1000):
        plan = plan / plan.sum(1, keepdim=True) * 7 / 3
        plan = plan / plan.sum(2, keepdim=True)
    torch.testing.assert_close(share, plan, atol=1e-6, rtol=1e-6)


# Information maximisation


def test_information_maximisation_descends_its_objective():
    """One step of the head is one step of gradient descent, differentiated by autograd."""
    z, targets, weight, z_query, weight_query = episodes()
    options = {"balance": 0.7, "certainty": 0.3, "scale": 2.0}
    unit_z, unit_query = F.normalize(z, dim=-1), F.normalize(z_query, dim=-1)
    centres = (targets.mT @ unit_z / targets.sum(1)[..., None]).requires_grad_()

    def log_p(z):
        return (-2.0 * (z[:, :, None] - centres[:, None]).square().sum(-1)).log_softmax(-1)

    answer = log_p(unit_query)
    mean = answer.exp().mean(1)
    certain = -(answer.exp() * answer).sum(-1).mean(1)
    balanced = -(mean * mean.log()).sum(-1)
    fitted = -(targets * log_p(unit_z)).sum(-1).mean(1)
    objective = 0.3 * fitted + 0.3 * certain - 0.7 * balanced
    (gradient,) = torch.autograd.grad(objective.sum(), centres)
    with torch.no_grad():
        centres -= 0.1 * gradient
    head = heads.InformationMaximisation(steps=1, learning_rate=0.1, **options).double()
    close(scores(head, z, targets, weight, z_query, weight_query), log_p(unit_query).detach())


# None of the transductive heads is told how many queries a class has


@pytest.mark.parametrize("name", [n for n in heads.names() if n not in ("relation", "feat")])
def test_no_head_assumes_balance_by_itself(name):
    """Ten queries that are all of class 0 are answered so by each head that needs no training."""
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.eye(D)[:3]
    z = centres.repeat(1, 1, 1)
    z_query = centres[:1] + 0.1 * torch.randn(1, 10, D, generator=generator)
    head = made(name).eval()
    answers = head.score(head.fit(z, torch.eye(3)[None]), z_query).argmax(-1)
    assert (answers == 0).all()


@pytest.mark.parametrize("head", [heads.Sinkhorn, heads.InformationMaximisation])
def test_heads_that_are_told_of_balance_share_out_what_is_not_sure(head):
    """Ten queries nearer to class 0, five of them less so."""
    z = torch.eye(2, D)[None]
    z_query = torch.tensor([[[1.0, 0.2 + 0.6 * (i % 2)] + [0.0] * (D - 2) for i in range(10)]])
    told, not_told = (
        h.score(h.fit(z, torch.eye(2)[None]), z_query).argmax(-1).sum()
        for h in (head(balance=1.0), head(balance=0.0))
    )
    assert (told, not_told) == (5, 0)


# Options and formulas, one by one


@pytest.mark.parametrize("steps", [1, 3])
def test_full_context_is_its_formulas_by_hand(steps):
    head = heads.Matching(context_steps=steps, n_features=D, seed=4).double()
    z, targets, weight, z_query, _ = episodes()
    lstm, cell = head.context.read, head.context.attend

    def step(x, h, c, w_x, w_h, bias):
        i, f, g, o = (x @ w_x.T + h @ w_h.T + bias).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def read(z, suffix):
        h, c, out = torch.zeros(D).double(), torch.zeros(D).double(), []
        w_x, w_h, b, b2 = (
            getattr(lstm, f"{name}_l0{suffix}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        for x in z:
            h, c = step(x, h, c, w_x, w_h, b + b2)
            out.append(h)
        return torch.stack(out)

    state = head.fit(z, targets, weight)
    f = head.context.query(z_query, state.z, weight)
    for b in range(B):
        g = z[b] + read(z[b], "") + read(z[b].flip(0), "_reverse").flip(0)
        close(state.z[b], g)
        h, c = z_query[b], torch.zeros_like(z_query[b])
        for _ in range(steps):
            r = (h @ g.T).softmax(-1) @ g
            h, c = step(
                torch.cat([z_query[b], r], -1),
                h,
                c,
                cell.weight_ih,
                cell.weight_hh,
                cell.bias_ih + cell.bias_hh,
            )
            h = h + z_query[b]
        close(f[b], h)


@pytest.mark.parametrize(
    ("name", "options"), [("feat", {}), ("relation", {}), ("matching", {"context_steps": 1})]
)
def test_seed_names_the_initial_weights(name, options):
    one, again, other = (
        heads.create(name, n_features=D, seed=s, **options).state_dict() for s in (1, 1, 2)
    )
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_relation_has_its_kernel_in_both_blocks():
    head = heads.Relation(n_features=D, width=4, kernel_size=3)
    assert [tuple(p.shape) for p in head.compare.parameters() if p.dim() == 4] == [
        (4, 2 * D, 3, 3),
        (4, 4, 3, 3),
    ]


def test_order_matters_from_the_first_context_step():
    assert [heads.Matching(context_steps=k).order_matters for k in (0, 1, 2)] == [False, True, True]


def test_support_vector_weight_is_a_cost():
    z, targets, weight, *_ = episodes((3, 2, 2))
    weight[:, 1] = 2
    twice = [0, 1, 1, 2, 3, 4, 5, 6]
    head = heads.SupportVector(C=0.05, tolerance=1e-12).double()
    torch.testing.assert_close(
        head.fit(z, targets, weight), head.fit(z[:, twice], targets[:, twice]), atol=1e-6, rtol=0
    )


def test_support_vector_tolerance_reaches_the_solver(monkeypatch):
    seen = []

    def solve(G, Y, upper, tolerance):
        seen.append(tolerance)
        return torch.zeros_like(Y)

    monkeypatch.setattr(crammer_singer, "solve", solve)
    z, targets, *_ = episodes()
    heads.SupportVector(tolerance=0.25).double().fit(z, targets)
    assert seen == [0.25]


@pytest.mark.parametrize("option", [{"scale": 3.0}, {"learning_rate": 0.7}, {"steps": 4}])
def test_cosine_classifier_follows_its_options(option):
    z, targets, _weight, z_query, _ = episodes()
    o = {"scale": 10.0, "learning_rate": 0.1, "steps": 20} | option
    unit_z = F.normalize(z, dim=-1)
    W = F.normalize(targets.mT @ unit_z / targets.sum(1)[..., None], dim=-1)
    for _ in range(o["steps"]):
        W = W.detach().requires_grad_()
        logits = o["scale"] * unit_z @ F.normalize(W, dim=-1).mT
        loss = F.cross_entropy(logits.mT, targets.argmax(-1), reduction="none").mean(1).sum()
        (gradient,) = torch.autograd.grad(loss, W)
        W = F.normalize(W - o["learning_rate"] * gradient, dim=-1)
    head = heads.CosineClassifier(**option).double()
    close(
        head.score(head.fit(z, targets), z_query),
        (o["scale"] * F.normalize(z_query, dim=-1) @ W.mT).detach(),
    )


def test_sinkhorn_balances_among_the_classes_and_queries_there_are():
    """One class absent and one query padded: 6 queries for 3 classes, 2 each."""
    z, targets, weight, z_query, weight_query = episodes((1, 1, 1))
    weight_query[:, 6:] = 0
    head = heads.Sinkhorn(balance=0.5, scale=3.0, steps=1, rate=1e-12).double()
    wide = scores(head, z, F.pad(targets, (0, 1)), weight, z_query, weight_query)[:, :6, :3]
    logits = -3.0 * torch.cdist(F.normalize(z_query[:, :6], dim=-1), F.normalize(z, dim=-1)) ** 2
    f = torch.zeros(B, 1, 3).double()
    for _ in range(200):
        received = (logits + f).softmax(-1).sum(1, keepdim=True)
        f = 0.5 * (f + math.log(6 / 3) - received.log())
    torch.testing.assert_close(wide, (logits + f).log_softmax(-1), atol=1e-6, rtol=0)


def test_sinkhorn_without_balance_moves_centres_by_hand():
    z, targets, weight, z_query, weight_query = episodes()
    weight_query[:, 5:] = 0
    u, q = F.normalize(z, dim=-1), F.normalize(z_query[:, :5], dim=-1)
    c = targets.mT @ u / targets.sum(1)[..., None]
    for _ in range(3):
        P = (-4.0 * torch.cdist(q, c) ** 2).softmax(-1)
        mean = (targets.mT @ u + P.mT @ q) / (targets.sum(1) + P.sum(1))[..., None]
        c = c + 0.3 * (mean - c)
    head = heads.Sinkhorn(steps=3, rate=0.3, scale=4.0).double()
    close(
        scores(head, z, targets, weight, z_query, weight_query)[:, :5],
        (-4.0 * torch.cdist(q, c) ** 2).log_softmax(-1),
    )


def test_steps_of_information_maximisation_are_taken_in_turn():
    """Three steps from the class means are one step, three times."""
    data = episodes()
    z, targets, weight, z_query, weight_query = data
    options = {"balance": 0.7, "certainty": 0.3, "scale": 2.0, "learning_rate": 0.1}
    three, one = (heads.InformationMaximisation(steps=s, **options).double() for s in (3, 1))
    state = one.fit(z, targets, weight)
    u, q = F.normalize(z, dim=-1), F.normalize(z_query, dim=-1)
    c = state.centres
    for _ in range(3):
        c = c.detach().requires_grad_()
        log_p, log_q = (
            (-2.0 * (x[:, :, None] - c[:, None]).square().sum(-1)).log_softmax(-1) for x in (u, q)
        )
        mean = log_q.exp().mean(1)
        loss = (
            -0.3 * (targets * log_p).sum(-1).mean(1)
            - 0.3 * (log_q.exp() * log_q).sum(-1).mean(1)
            + 0.7 * (mean * mean.log()).sum(-1)
        )
        (g,) = torch.autograd.grad(loss.sum(), c)
        c = c - 0.1 * g
    close(
        three.score(state, z_query, weight_query),
        (-2.0 * (q[:, :, None] - c[:, None]).square().sum(-1)).log_softmax(-1).detach(),
    )


def test_support_vector_machine_is_finished_by_conjugate_gradients(monkeypatch):
    """Projected steps alone would need hundreds of rounds for such a gap."""
    rounds, steps = [], crammer_singer._projected_steps

    def counted(*arguments):
        rounds.append(1)
        return steps(*arguments)

    monkeypatch.setattr(crammer_singer, "_projected_steps", counted)
    z, targets, *_ = episodes((6, 3, 5, 4), seed=2)
    crammer_singer.solve(z @ z.mT, targets, 10.0 * targets, 1e-10)
    assert len(rounds) <= 8


@pytest.mark.parametrize("normalise", [False, True])
def test_the_support_sets_own_centre_makes_the_origin_irrelevant(normalise):
    z, targets, weight, z_query, weight_query = episodes()
    head = heads.Prototypical(centre="support", normalise=normalise).double()
    there = scores(head, z + 5, targets, weight, z_query + 5, weight_query)
    close(there, scores(head, z, targets, weight, z_query, weight_query))


def test_the_support_sets_own_centre_does_not_count_absent_classes():
    z, targets, *_ = episodes()
    head = heads.Prototypical(centre="support").double()
    close(head.fit(z, F.pad(targets, (0, 1))).origin, head.fit(z, targets).origin)


@pytest.mark.parametrize("head", [heads.Sinkhorn, heads.InformationMaximisation])
def test_unlabelled_examples_are_placed_as_queries_are(head):
    z, targets, weight, z_query, weight_query = episodes()
    both = scores(head().double(), z, targets, weight, z_query, weight_query)
    state = head().double().fit(z, targets, weight, z_query[:, :3])
    close(head().double().score(state, z_query[:, 3:]), both[:, 3:])


@pytest.mark.parametrize("neighbours", [1, 2, 4, 6])
def test_label_propagation_keeps_the_nearest_edges_of_each_end(neighbours):
    z, *_ = episodes()
    head = heads.LabelPropagation(neighbours=neighbours).double()
    S = head._graph(z, torch.ones(z.shape[:2], dtype=torch.bool))
    for b in range(B):
        near = torch.cdist(z[b], z[b]).fill_diagonal_(torch.inf).argsort(1)[:, :neighbours]
        kept = torch.zeros_like(S[b], dtype=torch.bool).scatter(1, near, True)
        assert ((S[b] > 0) == (kept | kept.T)).all()


@pytest.mark.parametrize("far", [10.0, 100.0, 1e4])
def test_label_propagation_bears_a_query_that_is_far_from_all(far):
    generator = torch.Generator().manual_seed(0)
    z, z_query = (torch.randn(1, n, 4, generator=generator) for n in (10, 40))
    z_query[0, 0] = far
    targets = torch.eye(2).repeat_interleave(5, 0)[None]
    head = heads.LabelPropagation()
    logits = head.score(head.fit(z.requires_grad_(), targets), z_query)
    logits.logsumexp(-1).sum().backward()
    assert logits.isfinite().all()
    assert (logits[0, 1:] > 0).any(-1).all()
    assert all(t.grad.isfinite().all() for t in (z, head.log_bandwidth, head.log_scale))


def test_every_tensor_of_prototypes_has_the_episodes_first():
    z, targets, *_ = episodes()
    for centre in (None, "support", [0.1] * D):
        state = heads.Prototypical(centre=centre).double().fit(z, targets)
        assert all(len(part) == B for part in state)


def test_a_centre_is_a_copy_of_what_was_given():
    given = torch.ones(D)
    head = heads.Prototypical(centre=given)
    given.zero_()
    assert (head.mean == 1).all()


def test_a_siamese_class_is_the_weighted_mean_of_its_examples():
    z, targets, weight, z_query, weight_query = episodes()
    head = heads.Siamese(n_features=D).double()
    quarter = scores(head, z, targets, 0.25 * weight, z_query, weight_query)
    close(quarter, scores(head, z, targets, weight, z_query, weight_query))


def test_options_may_be_numbers_of_numpy():
    whole = np.int64(1)
    for head in (
        heads.Matching(context_steps=whole, n_features=np.int64(D), seed=whole, learn_scale=whole),
        heads.Feat(n_features=np.int64(D), seed=whole, learn_scale=np.True_),
        heads.Relation(n_features=np.int64(D), seed=whole),
    ):
        json.dumps(head.config)
