"""What every metric head keeps to: a new head is tried on all of it by its name in the registry alone."""

from time import perf_counter

import pytest
import torch
import torch.nn.functional as F
from head_variants import N_FEATURES as D
from head_variants import VARIANTS, B, N, close, episodes, label, made, scores

from metalearn import MetricLearner, backbones, heads
from metalearn.tasks import Examples


@pytest.fixture(params=VARIANTS, ids=label)
def head(request):
    return made(*request.param).double().eval()


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
        F.pad(targets, pad, value=-1.0 if value else 1.0),
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
    head = made(*variant, n_features=n_features).to(dtype).eval()
    result = scores(head, z, targets, weight, z_query, weight_query)
    result.logsumexp(-1).sum().backward()
    assert result.isfinite().all()
    assert z.grad.isfinite().all()


def test_gradients_reach_the_embeddings_and_are_right(head):
    z, targets, weight, z_query, weight_query = episodes((1, 2), n_query=3)
    assert torch.autograd.gradcheck(
        lambda z, z_query: scores(head, z, targets, weight, z_query, weight_query),
        (z.requires_grad_(), z_query.requires_grad_()),
        fast_mode=True,  # along one direction, not coordinate by coordinate
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
    assert type(again) is type(head), "`config` holds the name under which the head is registered"
    again.load_state_dict(head.state_dict())
    data = episodes()
    assert torch.equal(scores(again, *data), scores(head, *data))


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_scores_and_gradients_are_finite_in_bfloat16_autocast(variant):
    learner = MetricLearner(backbones.conv4(width=8, seed=0), made(*variant, n_features=8))
    x = torch.rand(2, 6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    support = Examples(x[:, :3], torch.tensor([[0, 1, 2]]).expand(2, -1), torch.ones(2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        logits = learner.predict(learner.fit(support), x[:, 3:])
    logits.logsumexp(-1).sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in learner.parameters() if p.grad is not None)
    assert learner.backbone.blocks[0][0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_saved_and_loaded_gives_the_same_bits(variant, tmp_path):
    learner = MetricLearner(backbones.conv4(width=8, seed=5), made(*variant, n_features=8)).eval()
    with torch.no_grad():
        for parameter in learner.head.parameters():
            parameter.add_(0.1)
    learner.save(tmp_path / "learner.safetensors")
    loaded = MetricLearner.load(tmp_path / "learner.safetensors").eval()
    data = episodes(dtype=torch.float32, n_features=8)
    assert torch.equal(scores(learner.head, *data), scores(loaded.head, *data))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_scores_and_gradients(head):
    def on(device):
        z, *rest = (tensor.to(device) for tensor in episodes())
        head.to(device).train()  # cuDNN has no gradient of an LSTM in evaluation mode
        result = scores(head, z.requires_grad_(), *rest)
        result.logsumexp(-1).sum().backward()
        return result.detach().cpu(), z.grad.cpu()

    for here, there in zip(on("cpu"), on("cuda"), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-7, atol=1e-7)


SOLVERS = {"ridge", "support_vector", "cosine_classifier"}


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_episodes_together_are_faster_than_one_by_one(variant):
    """Never slower; solvers at least five times as fast. The best of interleaved repetitions decides."""
    head = made(*variant, n_features=64).eval()
    generator = torch.Generator().manual_seed(0)
    z, z_query = (torch.rand(32, n, 64, generator=generator) for n in (5, 10))
    data = z, torch.eye(5).expand(32, -1, -1), torch.ones(32, 5), z_query, torch.ones(32, 10)
    singles = [[tensor[b : b + 1] for tensor in data] for b in range(32)]
    together, alone = [], []
    with torch.inference_mode():
        for _ in range(5):
            start = perf_counter()
            scores(head, *data)
            middle = perf_counter()
            for single in singles:
                scores(head, *single)
            together.append(middle - start)
            alone.append(perf_counter() - middle)
    assert min(alone) > (5 if variant[0] in SOLVERS else 1) * min(together)


def test_heads_of_the_wrong_size_say_so():
    z, targets = torch.zeros(1, 2, 5), torch.eye(2)[None]
    for head in (
        heads.Siamese(n_features=4),
        heads.Relation(n_features=4),
        heads.Feat(n_features=4),
        heads.Matching(context_steps=1, n_features=4),
        heads.Prototypical(centre=[0.0] * 4),
    ):
        with pytest.raises(ValueError, match=f"{type(head).__name__} was made for embeddings of 4"):
            head.fit(z, targets)


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
        (
            "prototypical",
            {"centre": "query"},
            "centre is 'query'; it is 'support', D numbers or None",
        ),
        ("prototypical", {"centre": [[0.0]]}, r"centre has shape \[1, 1\]; it needs \[D\]"),
        ("mahalanobis", {"regularisation": 0.0}, "regularisation is 0.0"),
        ("matching", {"scale": -1.0}, "scale is -1.0"),
        ("matching", {"context_steps": -1}, "context_steps is -1"),
        ("matching", {"distance": "near"}, "unknown distance 'near'"),
        ("siamese", {"n_features": 0}, "n_features is 0"),
        ("siamese", {"scale": 0.0}, "scale is 0.0"),
        ("relation", {"kernel_size": 2}, "kernel_size is 2; it needs to be odd"),
        ("relation", {"seed": -1}, "seed is -1"),
        ("feat", {"scale": 0.0}, "scale is 0.0"),
        ("support_vector", {"C": 0.0}, "C is 0.0"),
        ("support_vector", {"tolerance": 0.0}, "tolerance is 0.0"),
        ("cosine_classifier", {"steps": -1}, "steps is -1"),
        ("cosine_classifier", {"learning_rate": 0.0}, "learning_rate is 0.0"),
        ("label_propagation", {"alpha": 1.0}, "alpha is 1.0; it needs to be below 1"),
        ("label_propagation", {"neighbours": 0}, "neighbours is 0"),
        ("sinkhorn", {"balance": 1.5}, "balance is 1.5"),
        ("sinkhorn", {"rate": 1.5}, "rate is 1.5"),
        ("information_maximisation", {"balance": -0.1}, "balance is -0.1"),
        ("information_maximisation", {"certainty": 0.0}, "certainty is 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        heads.create(name, **options)
