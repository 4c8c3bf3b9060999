"""Classifiers and regressors of scikit-learn as models of a task."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import metalearn as ml


class Nearest(ClassifierMixin, BaseEstimator):
    """A classifier that gives answers and no scores."""

    def fit(self, X, y):
        self.model_ = KNeighborsClassifier(1).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)


CLASSIFIERS = [
    SVC(),
    LinearSVC(),
    RandomForestClassifier(n_estimators=10),
    LogisticRegression(),
    KNeighborsClassifier(1),
    RidgeClassifier(),
    Nearest(),
]


@pytest.fixture(scope="module")
def digits():
    return ml.load_pool("digits")


def tasks_of(pool, **options):
    return ml.ClassificationTasks(pool, **({"n_way": 4, "n_shot": 3, "n_query": 5} | options))


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("n_way", [2, 4])
def test_answers_are_those_of_the_estimator_itself(digits, estimator, n_way):
    batch = tasks_of(digits, n_way=n_way).batch(range(3))
    learner = ml.Estimator(estimator)
    scores = learner.predict(learner.fit(batch.support), batch.query.x)
    x, y, q = (
        t.numpy() for t in (batch.support.x.flatten(2), batch.support.y, batch.query.x.flatten(2))
    )
    scale = 255 if x.dtype == np.uint8 else 1
    for b in range(3):
        if hasattr(estimator, "random_state"):
            estimator.set_params(random_state=0)
        expected = estimator.fit(x[b] / np.float32(scale), y[b]).predict(q[b] / np.float32(scale))
        assert (scores[b].argmax(-1).numpy() == expected).all()


def test_probabilities_come_as_logarithms(digits):
    batch = tasks_of(digits).batch([0])
    learner = ml.Estimator(RandomForestClassifier(n_estimators=10))
    p = learner.predict(learner.fit(batch.support), batch.query.x).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(1, 20), atol=1e-4, rtol=0)


def test_the_estimator_given_is_not_fitted_and_random_state_is_explicit(digits):
    forest = RandomForestClassifier(n_estimators=5)
    reports = [ml.evaluate(ml.Estimator(forest, seed=s), tasks_of(digits), 10) for s in (0, 0, 1)]
    assert (reports[0].scores == reports[1].scores).all()
    assert (reports[0].scores != reports[2].scores).any()
    assert not hasattr(forest, "estimators_")
    assert forest.random_state is None


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3)),
        VotingClassifier(
            [("a", RandomForestClassifier(n_estimators=3)), ("b", LogisticRegression())]
        ),
    ],
    ids=["in a pipeline", "in a vote"],
)
def test_random_states_of_parts_are_explicit_too(digits, estimator):
    reports = [ml.evaluate(ml.Estimator(estimator, seed=s), tasks_of(digits), 5) for s in (0, 0, 1)]
    assert (reports[0].scores == reports[1].scores).all()
    assert (reports[0].scores != reports[2].scores).any()


@pytest.mark.parametrize("around", [lambda svc: svc, make_pipeline], ids=["alone", "in a pipeline"])
def test_scores_are_of_each_class_against_the_rest(digits, around):
    batch = tasks_of(digits).batch(range(2))
    one, other = (
        ml.Estimator(around(SVC(decision_function_shape=shape))) for shape in ("ovo", "ovr")
    )
    scores = [each.predict(each.fit(batch.support), batch.query.x) for each in (one, other)]
    assert torch.equal(*scores)


def test_a_search_under_another_estimator_is_not_resumed(digits, tmp_path):
    def trainer(leaf, seed=0):
        tree = DecisionTreeClassifier(min_samples_leaf=leaf)
        update = ml.updates.RandomSearch(tree, {"max_depth": [1, 2, 8]})
        loss = ml.metrics.negative_log_likelihood
        learner, tasks = ml.Estimator(tree, seed=seed), tasks_of(digits)
        return ml.Trainer(learner, tasks, update=update, loss=loss, folder=tmp_path, progress=False)

    losses = trainer(1).fit(2).loss
    assert trainer(1).fit(2, resume=True).loss == losses
    for other in (trainer(2), trainer(1, seed=1)):
        with pytest.raises(ValueError, match=r"cannot resume .*: its learner was"):
            other.fit(2, resume=True)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        ml.Estimator(SVC(), seed=-1)


def test_a_random_state_of_the_users_own_is_kept(digits):
    forest = RandomForestClassifier(n_estimators=5, random_state=7)
    one, other = (ml.evaluate(ml.Estimator(forest, seed=s), tasks_of(digits), 10) for s in (0, 1))
    assert (one.scores == other.scores).all()


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
def test_padding_and_missing_classes_change_nothing(digits, estimator):
    tasks = tasks_of(digits, n_way=(2, 4), n_shot=(1, 3))
    batch = tasks.batch(range(12))
    assert set(batch.n_way.tolist()) == {2, 3, 4}
    learner = ml.Estimator(estimator)
    scores = learner.predict(learner.fit(batch.support), batch.query.x, batch.query.weight)
    for b in range(12):
        alone = tasks.episode(b)
        n, q = int(alone.n_way[0]), alone.query.y.shape[1]
        expected = learner.predict(learner.fit(alone.support), alone.query.x)
        torch.testing.assert_close(scores[b, :q, :n], expected[0])
        assert (scores[b, :, n:] == -math.inf).all()


def test_on_embeddings_it_is_fitted_to_what_the_backbone_makes(digits):
    pool = digits.resize(16)
    backbone = ml.backbones.conv4(width=8, seed=0).eval()
    batch = tasks_of(pool).batch([0])
    learner = ml.Estimator(SVC(), backbone).eval()
    with torch.no_grad():
        scores = learner.predict(learner.fit(batch.support), batch.query.x)
        z, q = learner.embed(batch.support.x)[0], learner.embed(batch.query.x)[0]
    expected = SVC().fit(z.numpy(), batch.support.y[0]).predict(q.numpy())
    assert (scores[0].argmax(-1).numpy() == expected).all()


def test_evaluation_uses_cached_embeddings_too(digits):
    learner = ml.Estimator(SVC(kernel="linear"))
    many, few = (
        ml.evaluate(learner, tasks_of(digits), 100),
        ml.evaluate(learner, tasks_of(digits), 10),
    )
    np.testing.assert_allclose(many.scores[:10], few.scores)


@pytest.mark.parametrize(
    "estimator", [LinearRegression(), SVR(), RandomForestRegressor(n_estimators=5)]
)
def test_regressors_take_real_targets(estimator):
    tasks = ml.CurveTasks(n_shot=20, n_query=5)
    batch = tasks.batch(range(2))
    learner = ml.Estimator(estimator)
    values = learner.predict(learner.fit(batch.support), batch.query.x)
    assert values.shape == (2, 5, 1)
    assert ml.evaluate(learner, tasks, 10).metric == "mean_squared_error"


def test_regressors_of_several_targets():
    x = torch.rand(1, 30, 3, generator=torch.Generator().manual_seed(0))
    support = ml.Examples(x, x[..., :2] * 2 + 1, torch.ones(1, 30))
    learner = ml.Estimator(LinearRegression())
    torch.testing.assert_close(learner.predict(learner.fit(support), x), support.y)


def test_classifiers_refuse_real_targets():
    with pytest.raises(ValueError, match="takes classes"):
        ml.evaluate(ml.Estimator(SVC()), ml.CurveTasks(), 5)


@pytest.mark.parametrize("estimator", [KMeans(2), "SVC", SVC])
def test_what_is_no_classifier_or_regressor_is_refused(estimator):
    with pytest.raises(TypeError, match="neither a classifier nor a regressor of scikit-learn"):
        ml.Estimator(estimator)


def test_it_cannot_be_saved_and_says_so(tmp_path):
    with pytest.raises(TypeError, match="Estimator"):
        ml.Estimator(SVC()).save(tmp_path / "svc.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_gradient_update_says_that_there_is_none(digits):
    learner = ml.Estimator(SVC(), ml.backbones.conv4(width=4))
    trainer = ml.Trainer(learner, tasks_of(digits.resize(16)), progress=False)
    with pytest.raises(ValueError, match="the objective has no gradient"):
        trainer.fit(1)
