"""Losses of pairs against torch's own, and what padding and absent classes do to them: nothing."""

import pytest
import torch
import torch.nn.functional as F

from metalearn import losses

PAIR_LOSSES = [losses.pair_logistic, losses.contrastive, losses.pair_squared_error]


@pytest.fixture
def scores():
    return torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def y():
    return torch.tensor([[0, 1, 2, 3, 0, 1], [3, 3, 2, 1, 0, 0], [1, 1, 1, 1, 1, 1]])


def test_unbalanced_pairs_are_binary_cross_entropy(scores, y):
    expected = F.binary_cross_entropy_with_logits(
        scores, F.one_hot(y, 4).double(), reduction="none"
    ).mean((1, 2))
    torch.testing.assert_close(losses.pair_logistic(scores, y, balanced=False), expected)


def test_balanced_pairs_weigh_each_kind_alike(scores, y):
    """One pair in four is of one class, so that its weight is 4/2 and that of the others 4/6."""
    same = F.one_hot(y, 4).double()
    expected = F.binary_cross_entropy_with_logits(
        scores, same, weight=torch.where(same > 0, 4 / 2, 4 / 6), reduction="none"
    ).mean((1, 2))
    torch.testing.assert_close(losses.pair_logistic(scores, y), expected)


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_contrastive_pulls_and_pushes(scores, y, margin):
    d = scores.abs()
    for b in range(3):
        same, other = [], []
        for q in range(6):
            for k in range(4):
                if y[b, q] == k:
                    same.append(d[b, q, k] ** 2)
                else:
                    other.append(max(margin - d[b, q, k], torch.tensor(0.0)) ** 2)
        expected = (sum(same) / len(same) + sum(other) / len(other)) / 2
        result = losses.contrastive(-d[b : b + 1], y[b : b + 1], margin=margin)
        torch.testing.assert_close(result[0], expected)


def test_squared_error_of_pairs_is_that_of_probabilities(scores, y):
    expected = F.mse_loss(scores.sigmoid(), F.one_hot(y, 4).double(), reduction="none")
    torch.testing.assert_close(losses.pair_squared_error(scores, y), expected.mean((1, 2)))


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_padding_and_absent_classes_change_nothing_and_get_no_gradient(loss, scores, y):
    padded_scores = F.pad(F.pad(scores, (0, 0, 0, 2), value=9.0), (0, 1), value=-torch.inf)
    padded_scores.requires_grad_()
    padded_y, weight = F.pad(y, (0, 2), value=-100), F.pad(torch.ones(3, 6), (0, 2))
    torch.testing.assert_close(loss(padded_scores, padded_y, weight), loss(scores, y))
    torch.testing.assert_close(loss(padded_scores, padded_y), loss(scores, y))
    loss(padded_scores, padded_y, weight).sum().backward()
    assert padded_scores.grad.isfinite().all()
    assert (padded_scores.grad[:, 6:] == 0).all()
    assert (padded_scores.grad[..., 4] == 0).all()


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_scores_that_are_no_numbers_give_no_number(loss, scores, y):
    scores[1, 2, 3] = torch.nan
    assert loss(scores, y).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_gradients_are_right(loss, scores, y):
    assert torch.autograd.gradcheck(lambda scores: loss(scores, y), scores.requires_grad_())


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_what_does_not_fit_together_is_refused(loss, scores, y):
    with pytest.raises(ValueError, match=f"{loss.__name__} needs classes"):
        loss(scores, y.double())
    with pytest.raises(ValueError, match=r"scores have shape .* needs \[B, Q, N\] and \[B, Q\]"):
        loss(scores, y[:, :2])
    with pytest.raises(ValueError, match="no queries"):
        loss(scores, y, torch.zeros(3, 6))


def test_default_is_the_likelihood_of_classes_and_the_error_of_values(scores, y):
    torch.testing.assert_close(
        losses.default(scores, y), F.cross_entropy(scores.mT, y, reduction="none").mean(1)
    )
    torch.testing.assert_close(
        losses.default(scores, torch.zeros_like(scores)), scores.square().mean((1, 2))
    )


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_weights_of_queries_are_weights(loss, scores, y):
    twice = loss(scores[:, [0, 1, 1]], y[:, [0, 1, 1]])
    weight = torch.tensor([[1.0, 2.0]]).double().expand(3, -1)
    torch.testing.assert_close(loss(scores[:, :2], y[:, :2], weight), twice)


def test_a_margin_is_positive(scores, y):
    with pytest.raises(ValueError, match="margin is 0"):
        losses.contrastive(scores, y, margin=0)
