"""Distances compare each query with each centre of its own episode."""

import pytest
import torch
from scipy.spatial.distance import cdist

from metalearn.models.distances import DISTANCES, squared_mahalanobis, unit

SCIPY = {
    "squared_euclidean": "sqeuclidean",
    "euclidean": "euclidean",
    "manhattan": "cityblock",
    "cosine": "cosine",
}


@pytest.mark.parametrize("name", DISTANCES)
def test_agrees_with_scipy(name):
    generator = torch.Generator().manual_seed(0)
    z, c = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 3, 8, generator=generator)
    d = DISTANCES[name](z, c)
    for b in range(2):
        expected = torch.tensor(cdist(z[b], c[b], SCIPY[name]), dtype=torch.float32)
        torch.testing.assert_close(d[b], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DISTANCES)
def test_is_never_negative_and_has_a_finite_gradient_at_zero(name):
    z = (1000 + torch.rand(1, 4, 64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    d = DISTANCES[name](z, z.detach())
    d.sum().backward()
    assert (d > -1e-6).all()
    assert d.diagonal(dim1=1, dim2=2).abs().max() < 1e-3
    assert z.grad.isfinite().all()


def test_squared_euclidean_keeps_its_digits_far_from_the_origin():
    z, c = torch.tensor([[[1000.0, 0.0]]]), torch.tensor([[[1000.0, 0.1], [1001.0, 0.0]]])
    torch.testing.assert_close(
        DISTANCES["squared_euclidean"](z, c), torch.tensor([[[0.01, 1.0]]]), rtol=1e-4, atol=1e-5
    )


def test_cosine_of_a_zero_vector_is_one():
    assert (DISTANCES["cosine"](torch.zeros(1, 1, 3), torch.ones(1, 2, 3)) == 1).all()


def test_euclidean_is_the_root_with_gradient_zero_at_zero():
    z = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]], requires_grad=True)
    d = DISTANCES["euclidean"](z, torch.zeros(1, 1, 2))
    d.sum().backward()
    assert d.flatten().tolist() == [0.0, 5.0]
    torch.testing.assert_close(z.grad, torch.tensor([[[0.0, 0.0], [0.6, 0.8]]]))


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 8, 8), (8, 8)])
def test_squared_mahalanobis_agrees_with_scipy(shape):
    generator = torch.Generator().manual_seed(0)
    z, c = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 3, 8, generator=generator)
    A = torch.randn(*shape, generator=generator)
    covariance = (A @ A.mT + torch.eye(8)).double()
    d = squared_mahalanobis(z.double(), c.double(), covariance)
    precision = torch.linalg.inv(covariance).expand(2, 3, 8, 8)
    for b in range(2):
        for k in range(3):
            expected = cdist(z[b], c[b, k : k + 1], "mahalanobis", VI=precision[b, k]) ** 2
            torch.testing.assert_close(d[b, :, k : k + 1], torch.tensor(expected))


def test_a_covariance_that_is_none_is_refused():
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        squared_mahalanobis(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), -torch.eye(2))


def test_unit_vectors_have_length_one_and_zero_stays():
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    result = unit(z)
    torch.testing.assert_close(result, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    result.sum().backward()
    torch.testing.assert_close(z.grad[1], torch.ones(2))


def test_equal_embeddings_have_distance_zero_and_nan_stays_nan():
    z = torch.tensor([[[1.0, 2.0], [float("nan"), 0.0]]])
    for name, distance in DISTANCES.items():
        if name != "cosine":
            assert distance(z, z[:, :1])[0, 0, 0] == 0
        assert distance(z, z[:, :1])[0, 1, 0].isnan(), name


@pytest.mark.parametrize("name", DISTANCES)
def test_no_distance_is_below_zero_by_rounding(name):
    z = torch.randn(1, 50, 64, generator=torch.Generator().manual_seed(0))
    assert (DISTANCES[name](z, z) >= 0).all()
