"""Metrics give one value an episode."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_squared_error,
)

from metalearn import metrics

SCORES = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randint(5, (3, 40), generator=torch.Generator().manual_seed(1))


RARE = torch.where(Y < 2, 0, Y)
RARE[2] = RARE[2].clamp(max=1)  # classes 2 to 4 are never asked for, but answered
SURE = SCORES + 3 * torch.nn.functional.one_hot(RARE, 5)


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (metrics.accuracy, accuracy_score),
        (metrics.macro_f1, lambda y, answer: f1_score(y, answer, average="macro")),
    ],
)
@pytest.mark.parametrize("scores", [SCORES, SURE])
@pytest.mark.parametrize("y", [Y, RARE])
def test_scores_of_classes_agree_with_scikit_learn(metric, oracle, scores, y):
    expected = [oracle(y[b], scores[b].argmax(-1)) for b in range(3)]
    np.testing.assert_allclose(metric(scores, y), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("y", [Y, RARE])
def test_balanced_accuracy_agrees_with_scikit_learn(y):
    expected = [balanced_accuracy_score(y[b], SCORES[b].argmax(-1)) for b in range(3)]
    np.testing.assert_allclose(metrics.balanced_accuracy(SCORES, y), expected, rtol=1e-6)


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_calibration_error_agrees_with_a_loop_over_bins(bins):
    p = SURE.softmax(-1).numpy()
    for b in range(3):
        sure, right = p[b].max(-1), p[b].argmax(-1) == RARE[b].numpy()
        expected = 0.0
        for low in range(bins):
            inside = (sure > low / bins) & (sure <= (low + 1) / bins)
            if inside.any():
                expected += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
        found = metrics.calibration_error(SURE, RARE, bins=bins)[b]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_probability_on_an_edge_is_of_the_bin_below():
    scores = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])  # 0.5, wrong, and 0.75, right
    error = metrics.calibration_error(scores, torch.tensor([[1, 0]]), bins=2)
    assert error.item() == pytest.approx((0.5 + 0.25) / 2)


def test_calibrated_answers_have_no_error_and_sure_wrong_ones_all():
    even = torch.zeros(1, 4, 4), torch.arange(4)[None]
    torch.testing.assert_close(metrics.calibration_error(*even), torch.zeros(1))
    wrong = torch.tensor([[[100.0, 0.0]]]), torch.tensor([[1]])
    torch.testing.assert_close(metrics.calibration_error(*wrong), torch.ones(1))


def test_regret_is_what_the_best_arm_would_have_given_more():
    rewards = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 2.0, 1.0]]])
    scores = torch.tensor([[[0.0, 0.0, 9.0], [0.0, 1.0, 0.0]]])
    assert metrics.regret(scores, rewards).tolist() == [0.25]
    assert metrics.regret(rewards, rewards).tolist() == [0.0]
    assert metrics.regret(scores, rewards, torch.tensor([[1.0, 0.0]])).tolist() == [0.5]
    with pytest.raises(ValueError, match="regret needs real targets"):
        metrics.regret(scores, torch.zeros(1, 2, dtype=torch.int64))


def test_negative_log_likelihood_agrees_with_scikit_learn():
    expected = [log_loss(Y[b], SCORES[b].softmax(-1), labels=range(5)) for b in range(3)]
    np.testing.assert_allclose(metrics.negative_log_likelihood(SCORES, Y), expected, rtol=1e-6)


def test_mean_squared_error_agrees_with_scikit_learn():
    target = SCORES.roll(1, dims=1)
    expected = [mean_squared_error(target[b], SCORES[b]) for b in range(3)]
    np.testing.assert_allclose(metrics.mean_squared_error(SCORES, target), expected, rtol=1e-6)


CLASS_METRICS = [
    metrics.accuracy,
    metrics.balanced_accuracy,
    metrics.macro_f1,
    metrics.negative_log_likelihood,
    metrics.calibration_error,
]


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_real_targets_are_refused(metric):
    with pytest.raises(ValueError, match=f"{metric.__name__} needs classes"):
        metric(SCORES, SCORES)


@pytest.mark.parametrize("metric", CLASS_METRICS)
@pytest.mark.parametrize(
    ("scores", "y", "message"),
    [
        (SCORES, Y[:, :30], r"scores have shape \[3, 40, 5\] and y \[3, 30\]"),
        (SCORES, Y[..., None], r"and y \[3, 40, 1\]"),
        (SCORES[0], Y, r"scores have shape \[40, 5\]"),
        (SCORES, Y + 1, "y holds class 5; the scores are of 5 classes"),
        (SCORES, Y - 1, "y holds class -1"),
        (SCORES, torch.where(Y[:, :1] == Y[0, 0], -100, Y), "an episode has no queries"),
    ],
)
def test_classes_that_do_not_fit_the_scores_are_refused(metric, scores, y, message):
    with pytest.raises(ValueError, match=message):
        metric(scores, y)


@pytest.mark.parametrize("metric", CLASS_METRICS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_classes_may_be_whole_numbers_of_any_size(metric, dtype):
    assert torch.equal(metric(SCORES, Y.to(dtype)), metric(SCORES, Y))


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1])
def test_scores_that_are_no_numbers_have_no_highest(metric):
    scores = SCORES.clone()
    scores[1, 2, 3] = torch.nan
    with pytest.raises(FloatingPointError, match="scores hold NaN"):
        metric(scores, Y)
    with pytest.raises(FloatingPointError, match="scores hold NaN"):
        metrics.regret(scores, SCORES)


@pytest.mark.parametrize("metric", [metrics.mean_squared_error, metrics.regret])
def test_values_that_do_not_fit_the_scores_are_refused(metric):
    with pytest.raises(ValueError, match=r"shape \[3, 40, 5\] and y \[3, 40, 1\]; .* the same"):
        metric(SCORES, SCORES[..., :1])
    with pytest.raises(ValueError, match=r"needs the same, \[B, Q, T\]"):
        metric(SCORES[0], SCORES[0])
    with pytest.raises(ValueError, match=r"needs real targets; y is torch\.int64"):
        metric(SCORES, SCORES.long())
    with pytest.raises(ValueError, match="an episode has no queries"):
        metric(SCORES, SCORES, torch.zeros(3, 40))


@pytest.mark.parametrize("bins", [0, -3, 2.5])
def test_bins_that_make_no_sense_are_refused(bins):
    with pytest.raises(ValueError, match=f"bins is {bins}"):
        metrics.calibration_error(SCORES, Y, bins=bins)


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_padded_queries_do_not_count(metric):
    y = Y.clone()
    y[1, 30:] = -100
    torch.testing.assert_close(metric(SCORES, y)[1:2], metric(SCORES[1:2, :30], Y[1:2, :30]))


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_queries_of_weight_0_do_not_count_whatever_their_class(metric):
    weight = (SCORES.argmax(-1) == Y).float()
    weight[:, :10] = 1
    padded = torch.where(weight > 0, Y, -100)
    torch.testing.assert_close(metric(SCORES, Y, weight), metric(SCORES, padded))
    assert not torch.allclose(metric(SCORES, Y, weight), metric(SCORES, Y))


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
