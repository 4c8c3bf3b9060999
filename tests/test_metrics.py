"""Metrics give one value an episode."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

from metalearn import metrics

SCORES = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randint(5, (3, 40), generator=torch.Generator().manual_seed(1))


def test_accuracy_agrees_with_scikit_learn():
    expected = [accuracy_score(Y[b], SCORES[b].argmax(-1)) for b in range(3)]
    np.testing.assert_allclose(metrics.accuracy(SCORES, Y), expected, rtol=1e-6)


def test_negative_log_likelihood_agrees_with_scikit_learn():
    expected = [log_loss(Y[b], SCORES[b].softmax(-1), labels=range(5)) for b in range(3)]
    np.testing.assert_allclose(metrics.negative_log_likelihood(SCORES, Y), expected, rtol=1e-6)


def test_mean_squared_error_agrees_with_scikit_learn():
    target = SCORES.roll(1, dims=1)
    expected = [mean_squared_error(target[b], SCORES[b]) for b in range(3)]
    np.testing.assert_allclose(metrics.mean_squared_error(SCORES, target), expected, rtol=1e-6)


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.negative_log_likelihood])
def test_padded_queries_do_not_count(metric):
    y = Y.clone()
    y[1, 30:] = -100
    torch.testing.assert_close(metric(SCORES, y)[1:2], metric(SCORES[1:2, :30], Y[1:2, :30]))


def test_padded_values_do_not_count_and_a_target_of_minus_hundred_does():
    scores, y = torch.zeros(1, 2, 1), torch.tensor([[[-100.0], [3.0]]])
    assert metrics.mean_squared_error(scores, y).item() == (100**2 + 9) / 2
    assert metrics.mean_squared_error(scores, y, torch.tensor([[1.0, 0.0]])).item() == 100**2


def test_classes_that_an_episode_lacks_cost_nothing():
    scores = torch.tensor([[[0.0, 0.0, -torch.inf]]], requires_grad=True)
    loss = metrics.negative_log_likelihood(scores, torch.tensor([[1]]))
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor([0.6931]), atol=1e-4, rtol=0)
    assert scores.grad.isfinite().all()
