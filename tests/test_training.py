"""The loop trains, validates, stops, and resumes to the last bit."""

import signal
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from head_variants import made

import metalearn as ml
from metalearn.files import load_tensors
from metalearn.precision import computes_bfloat16


@pytest.fixture(scope="module")
def splits():
    return ml.load_pool("digits").resize(16).split((0.6, 0.4), seed=0)


@pytest.fixture
def make(splits):
    """A trainer of a small learner on digits; options change it."""

    def make(folder=None, head="prototypical", lr=3e-3, **options):
        scale = {"scale": 10.0} if head == "label_propagation" else {}
        tasks, validation = (
            ml.ClassificationTasks(part, n_way=4, n_shot=1, n_query=5, seed=0) for part in splits
        )
        learner = ml.MetricLearner(
            ml.backbones.conv4(width=8, seed=0), made(head, scale, n_features=8)
        )
        options = {
            "validation": validation,
            "validate_every": 4,
            "validation_episodes": 20,
        } | options
        return ml.Trainer(
            learner,
            tasks,
            update=ml.updates.Gradient(
                learner.parameters(), lr=lr, schedule=ml.updates.cosine_to_zero
            ),
            folder=folder,
            progress=False,
            **options,
        )

    return make


def weights(learner):
    return torch.cat([t.flatten().double() for t in learner.state_dict().values()])


@pytest.mark.parametrize("head", ml.heads.names())
def test_every_head_learns(make, head):
    trainer = make(head=head, lr=1e-2, validation=None, batch_size=2)
    history = trainer.fit(steps=40)
    assert sum(history.loss[-8:]) < 0.8 * sum(history.loss[:8])


def test_training_is_decided_by_its_settings(make):
    one, again = make(), make()
    assert one.fit(6).loss == again.fit(6).loss
    assert torch.equal(weights(one.learner), weights(again.learner))


def test_training_leaves_global_random_state(make):
    before = torch.get_rng_state()
    make().fit(3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def validate_as(monkeypatch):
    """Let validations give these means, one after the other; the weights at each are written down."""

    def validate_as(*means):
        coming, seen = iter(means), []

        def evaluate(learner, *arguments, **options):
            seen.append(weights(learner))
            return ml.Report(np.full(2, next(coming)), "accuracy", True, "")

        monkeypatch.setattr("metalearn.training.evaluate", evaluate)
        return seen

    return validate_as


def test_learner_ends_with_the_weights_that_validated_best(make, validate_as):
    seen = validate_as(0.2, 0.4, 0.3)
    trainer = make()
    history = trainer.fit(12)
    assert history.validated_at == [4, 8, 12]
    assert history.validation == [0.2, 0.4, 0.3]
    assert (history.best, history.best_step, history.metric) == (0.4, 8, "accuracy")
    assert torch.equal(weights(trainer.learner), seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_history_is_of_the_validation_tasks_and_the_weights_at_the_end(make):
    trainer = make()
    history = trainer.fit(8)
    report = ml.evaluate(trainer.learner, trainer.validation, 20)
    assert report.mean == pytest.approx(history.best, abs=1e-6)


def test_patience_is_counted_from_the_best_validation(make, validate_as):
    validate_as(0.2, 0.1, 0.3, 0.3, 0.2)
    history = make(patience=2).fit(100)
    assert history.steps == 20, (
        "the third of five validations is the best, and two more are no better"
    )


class Stop(ml.updates.Gradient):
    """A gradient update during which somebody presses Ctrl-C at one step."""

    at_step = 5

    def __repr__(self):
        return super().__repr__().replace("Stop", "Gradient")

    def step(self, objective, progress=0.0):
        self.made = getattr(self, "made", 0) + 1
        if self.made == self.at_step:
            signal.raise_signal(signal.SIGINT)
        return super().step(objective, progress)


@pytest.mark.parametrize("stop_at", [4, 5, 7])
def test_resumed_equals_uninterrupted_to_the_last_bit(make, tmp_path, stop_at):
    whole = make(folder=tmp_path / "whole")
    whole.fit(12)

    stopped = make(folder=tmp_path / "stopped")
    stopped.update.__class__ = Stop
    stopped.update.at_step = stop_at
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(12)
    assert stopped.history.steps == stop_at, "the step at hand was ended"

    resumed = make(folder=tmp_path / "stopped")
    history = resumed.fit(12, resume=True)
    assert history.loss == whole.history.loss
    assert history.validation == whole.history.validation
    assert torch.equal(weights(resumed.learner), weights(whole.learner))
    last = [load_tensors(tmp_path / name / "last.safetensors")[0] for name in ("whole", "stopped")]
    assert last[0].keys() == last[1].keys()
    assert all(torch.equal(t, last[1][name]) for name, t in last[0].items())


def test_signal_handling_is_put_back(make):
    before = signal.getsignal(signal.SIGINT)
    make().fit(2)
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread(make):
    trainer = make()
    thread = threading.Thread(target=trainer.fit, args=(3,))
    thread.start()
    thread.join()
    assert trainer.history.steps == 3


def test_best_file_is_a_learner(make, tmp_path):
    trainer = make(folder=tmp_path)
    trainer.fit(8)
    loaded = ml.MetricLearner.load(tmp_path / "best.safetensors")
    assert torch.equal(weights(loaded), weights(trainer.learner))


def test_a_training_is_not_overwritten(make, tmp_path):
    make(folder=tmp_path).fit(4)
    with pytest.raises(FileExistsError, match="already holds a training; resume it"):
        make(folder=tmp_path).fit(4)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"lr": 1e-2}, "update"), ({"batch_size": 2}, "batch_size"), ({"head": "ridge"}, "learner")],
)
def test_resuming_under_other_settings_is_refused(make, tmp_path, change, name):
    make(folder=tmp_path).fit(4)
    with pytest.raises(ValueError, match=f"cannot resume .*: its {name} was"):
        make(folder=tmp_path, **change).fit(8, resume=True)


def test_resuming_to_another_length_is_refused(make, tmp_path):
    make(folder=tmp_path).fit(4)
    with pytest.raises(ValueError, match="its steps was 4, and is 8 now"):
        make(folder=tmp_path).fit(8, resume=True)


def test_resuming_from_nothing(make, tmp_path):
    with pytest.raises(ValueError, match="there is no folder to resume from"):
        make().fit(4, resume=True)
    with pytest.raises(FileNotFoundError):
        make(folder=tmp_path).fit(4, resume=True)


def test_a_loss_that_is_not_finite_stops_before_it_harms(make):
    trainer = make(loss=lambda scores, y, weight: scores.sum() * torch.nan)
    before = [p.clone() for p in trainer.learner.parameters()]
    with pytest.raises(FloatingPointError, match="the objective is nan"):
        trainer.fit(3)
    assert all(map(torch.equal, before, trainer.learner.parameters()))


def test_validation_knows_that_a_loss_is_better_when_lower(make):
    history = make(metric=ml.metrics.negative_log_likelihood).fit(12)
    assert history.best == min(history.validation)


def test_validation_takes_a_metric_with_an_option(make):
    history = make(metric=partial(ml.metrics.calibration_error, bins=15)).fit(12)
    assert history.metric == "calibration_error(bins=15)"
    assert history.best == min(history.validation)


def test_learning_rate_follows_its_schedule():
    rates = []
    weight = torch.nn.Parameter(torch.tensor(1.0))
    update = ml.updates.Gradient([weight], lr=0.1, schedule=ml.updates.cosine_to_zero)
    for progress in (0.0, 0.5, 1.0):
        update.step(lambda: weight.square(), progress)
        rates.append(update.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.05, 0.0])


def test_a_finished_training_can_be_resumed_and_changes_nothing(make, tmp_path):
    trainer = make(folder=tmp_path)
    history = trainer.fit(8)
    again = make(folder=tmp_path)
    assert again.fit(8, resume=True).loss == history.loss
    assert torch.equal(weights(again.learner), weights(trainer.learner))
    with pytest.raises(ValueError, match="this trainer has finished its 8 steps"):
        trainer.fit(12)


def test_ctrl_c_in_the_last_step_ends_the_training(make):
    trainer = make()
    trainer.update.__class__ = Stop
    trainer.update.at_step = 4
    assert trainer.fit(4).steps == 4


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_any_optimiser_is_resumed_to_the_last_bit(make, tmp_path, optimiser, clip):
    options = {"momentum": 0.9} if optimiser is torch.optim.SGD else {}

    def trainer(folder):
        made = make(folder=folder)
        made.update = ml.updates.Gradient(
            made.learner.parameters(), lr=1e-2, optimiser=optimiser, clip=clip, **options
        )
        return made

    whole = trainer(tmp_path / "whole").fit(8)
    stopped = trainer(tmp_path / "stopped")
    stopped.update.__class__ = Stop
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(8)
    assert trainer(tmp_path / "stopped").fit(8, resume=True).loss == whole.loss


def test_a_backbone_of_the_users_own_is_resumed_too(splits, tmp_path):
    def trainer():
        tasks = ml.ClassificationTasks(splits[0], n_way=4, n_shot=1, n_query=5, seed=0)
        torch.manual_seed(0)
        backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 8))
        learner = ml.MetricLearner(backbone, ml.heads.Prototypical())
        return ml.Trainer(learner, tasks, folder=tmp_path, progress=False)

    first = trainer()
    first.fit(4)
    assert torch.equal(weights(trainer().learner), weights(trainer().learner))
    again = trainer()
    again.fit(4, resume=True)
    assert torch.equal(weights(again.learner), weights(first.learner))


class Bare:
    """The same tasks without their unlabelled examples."""

    def __init__(self, tasks):
        self.tasks, self.identity = tasks, tasks.identity

    def batch(self, indices):
        return replace(self.tasks.batch(indices), unlabelled=None)


def test_unlabelled_examples_are_learned_from(splits):
    tasks = ml.ClassificationTasks(splits[0], n_way=4, n_query=5, n_unlabelled=5)
    losses = []
    for family in (tasks, Bare(tasks)):
        head = ml.heads.SoftKMeans(use_queries=False)
        learner = ml.MetricLearner(ml.backbones.conv4(width=8, seed=0), head)
        losses += ml.Trainer(learner, family, progress=False).fit(1).loss
    assert losses[0] != losses[1]


class Lines:
    """Regression through the same protocol: lines through the origin of random slope."""

    identity = "lines, seed 0"

    def batch(self, indices):
        generators = [torch.Generator().manual_seed(i) for i in indices]
        slope = torch.stack([torch.randn(1, 1, generator=g) for g in generators])
        x = torch.stack([torch.randn(7, 1, generator=g) for g in generators])
        y = slope * x
        ones = torch.ones(len(generators), 7)
        halves = [
            ml.Examples(x[:, part], y[:, part], ones[:, part])
            for part in (slice(0, 2), slice(2, 7))
        ]
        return ml.Batch(*halves, n_way=torch.zeros(len(generators), dtype=torch.int64))


def test_regression_trains_validates_and_is_evaluated():
    torch.manual_seed(0)
    learner = ml.MetricLearner(torch.nn.Linear(1, 4, bias=False), ml.heads.Ridge())
    trainer = ml.Trainer(
        learner,
        Lines(),
        Lines(),
        update=ml.updates.Gradient(learner.parameters(), lr=3e-2),
        batch_size=4,
        validate_every=20,
        progress=False,
    )
    before = ml.evaluate(learner, Lines(), 50)
    trainer.fit(40)
    after = ml.evaluate(learner, Lines(), 50)
    assert after.metric == "mean_squared_error"
    assert after.mean < before.mean / 2


@pytest.mark.parametrize("head", ["prototypical", "soft_k_means"])
def test_heads_for_classes_refuse_real_targets(head):
    learner = ml.MetricLearner(torch.nn.Identity(), ml.heads.create(head))
    with pytest.raises(ValueError, match="takes classes"):
        ml.evaluate(learner, Lines(), 5)
    with pytest.raises(ValueError, match="accuracy needs classes"):
        ml.evaluate(
            ml.MetricLearner(torch.nn.Identity(), ml.heads.Ridge()), Lines(), 5, ml.metrics.accuracy
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"validation_episodes": 1}, "validation_episodes is 1; .* at least 2"),
        ({"validate_every": 0}, "validate_every is 0"),
        ({"precision": "float8"}, "precision is 'float8'"),
        ({"validation": None, "patience": 3}, "patience is 3; it needs validation tasks"),
        ({"patience": 0}, "patience is 0"),
        ({"metric": len}, "does not say whether higher is better"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_pool_in_the_place_of_validation_tasks_is_refused(make):
    with pytest.raises(TypeError, match="tasks is a Pool; it needs to be a family of tasks"):
        make(validation=ml.load_pool("digits"))


def test_output_folder_that_cannot_be_written(make, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to the folder"):
        make(folder=tmp_path / "file" / "run")


def test_a_learner_without_parameters_cannot_be_trained(splits):
    learner = ml.MetricLearner(ml.backbones.identity(), ml.heads.Prototypical())
    with pytest.raises(ValueError, match="nothing here can be trained"):
        ml.Trainer(learner, ml.ClassificationTasks(splits[0], n_way=4))


def test_bfloat16_trains_too_and_leaves_float32_weights(make):
    trainer = make(precision="bfloat16")
    seen = set()
    trainer.learner.backbone.blocks.register_forward_hook(lambda *call: seen.add(call[-1].dtype))
    history = trainer.fit(4)
    assert torch.bfloat16 in seen
    assert all(p.dtype == torch.float32 for p in trainer.learner.parameters())
    assert history.loss == pytest.approx(make(precision="float32").fit(4).loss, rel=0.2)


@pytest.mark.parametrize(("has", "gains"), [({"avx512_bf16": True}, True), ({"avx2": True}, False)])
def test_automatic_precision_asks_the_processor(monkeypatch, has, gains):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert computes_bfloat16(torch.device("cpu")) is gains


def test_automatic_precision_is_float32_where_torch_cannot_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_bfloat16(torch.device("cpu")) is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_trains_and_evaluates_on_cuda(make):
    trainer = make()
    trainer.learner.cuda()
    history = trainer.fit(8)
    assert history.loss[-1] < history.loss[0]


def test_clipping_bounds_the_gradient():
    weight = torch.nn.Parameter(torch.tensor(100.0))
    update = ml.updates.Gradient([weight], lr=1.0, optimiser=torch.optim.SGD, clip=1.0)
    update.step(lambda: weight.square())
    assert weight.item() == pytest.approx(99.0)
