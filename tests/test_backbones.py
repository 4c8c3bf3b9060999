"""Backbones: shapes, explicit starts, and what is borrowed from torchvision and scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metalearn import ClassificationTasks, MetricLearner, backbones, evaluate, heads
from metalearn.models.backbones.resnet12 import DropBlock

MAKERS = {
    "conv4": lambda seed: backbones.conv4(width=8, seed=seed),
    "resnet12": lambda seed: backbones.resnet12(channels=1, widths=(4, 4, 8, 8), seed=seed),
    "torchvision": lambda seed: backbones.torchvision("resnet18", seed=seed),
}


def test_every_backbone_by_name_is_tried_here():
    assert set(backbones.names()) == {*MAKERS, "identity"}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_start_is_decided_by_the_seed_and_leaves_global_random_state(make):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, again, other = (make(seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_made_again_from_its_config_it_has_the_same_weights(make):
    one = make(5)
    again = backbones.create(**one.config)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_learner_of_it_is_saved_and_loaded(make, tmp_path):
    learner = MetricLearner(make(0), heads.Prototypical()).eval()
    learner.save(tmp_path / "learner.safetensors")
    images = torch.rand(1, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = learner.embed(images)
        found = MetricLearner.load(tmp_path / "learner.safetensors").eval().embed(images)
    assert torch.equal(found, expected)


def test_a_negative_seed_is_refused(make):
    with pytest.raises(ValueError, match="seed is -1; it needs to be a whole number"):
        make(-1)


def test_pass_leaves_global_random_state_in_training_too(make):
    net = make(0).train()
    before = torch.get_rng_state()
    net(torch.zeros(2, 1, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_backbone_lists_the_known():
    with pytest.raises(ValueError, match="unknown backbone 'conv'; known, closest first: conv4"):
        backbones.create("conv")


def normalised(maps):
    """Batch normalisation at its start, in training mode."""
    variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0, keepdim=True)
    return (maps - mean) / (variance + 1e-5).sqrt()


def maps_and_kernels(block, channels):
    """Maps to try a block on, and the kernels of its convolutions in order."""
    maps = torch.randn(2, channels, 8, 6, generator=torch.Generator().manual_seed(0))
    return maps, [p for p in block.parameters() if p.dim() == 4]


@pytest.mark.parametrize(
    ("numbers", "plain"),
    [
        (
            {"name": "conv4", "channels": np.int64(1), "width": np.int32(8), "seed": np.uint8(3)},
            {"name": "conv4", "channels": 1, "width": 8, "seed": 3},
        ),
        (
            {"name": "conv4", "width": np.array([4, 4, 8, 8])},
            {"name": "conv4", "width": [4, 4, 8, 8]},
        ),
        (
            {"name": "resnet12", "widths": np.array([4, 4, 8, 8]), "drop_rate": np.float32(0.5)},
            {"name": "resnet12", "widths": (4, 4, 8, 8), "drop_rate": 0.5},
        ),
    ],
)
def test_numbers_of_numpy_are_taken_as_numbers_and_saved(numbers, plain, tmp_path):
    one, other = (backbones.create(**options) for options in (numbers, plain))
    assert one.config == other.config
    MetricLearner(one, heads.Prototypical(scale=np.float32(2))).save(tmp_path / "learner")
    assert MetricLearner.load(tmp_path / "learner").backbone.config == other.config


# Conv4


def test_conv4_has_the_size_the_papers_give():
    net = backbones.conv4()
    assert sum(p.numel() for p in net.parameters()) == 111_680  # 9*64 + 3*9*64*64 + 4*2*64
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 64)
    assert backbones.conv4(channels=3)(torch.zeros(2, 3, 84, 84)).shape == (2, 1600)


def test_block_of_conv4_is_convolution_normalisation_relu_and_pooling():
    block = backbones.conv4(channels=3, width=5).blocks[0]
    maps, (kernel,) = maps_and_kernels(block, channels=3)
    expected = F.max_pool2d(F.relu(normalised(F.conv2d(maps, kernel, padding=1))), 2)
    torch.testing.assert_close(block(maps), expected)


def test_conv4_takes_a_width_for_each_block():
    net = backbones.conv4(channels=3, width=(4, 6, 8, 10))
    assert net(torch.zeros(2, 3, 40, 33)).shape == (2, 10 * 2 * 2)
    assert net.config["width"] == [4, 6, 8, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": (4, 4, 4)}, r"width is \(4, 4, 4\); it needs to be one number or four"),
        ({"width": 0}, "width is 0; it needs to be a whole number of at least 1"),
        ({"width": (4, 4, 4, -1)}, "width is -1"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_conv4_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        backbones.conv4(**options)


# ResNet-12


def test_resnet12_has_the_size_of_the_paper():
    net = backbones.resnet12()
    convolutions = [p.numel() for p in net.parameters() if p.dim() == 4]
    expected, n_in = 0, 3
    for n in (64, 160, 320, 640):
        expected += 9 * (n_in * n + 2 * n * n) + n_in * n
        n_in = n
    assert sum(convolutions) == expected
    assert len([p for p in net.parameters() if p.dim() == 4 and p.shape[-1] == 3]) == 12


def test_block_of_resnet12_adds_three_convolutions_to_a_shortcut():
    block = backbones.resnet12(channels=3, widths=(5, 4, 4, 4), drop_rate=0.0).blocks[0]
    maps, kernels = maps_and_kernels(block, channels=3)
    main = maps
    for kernel in kernels[:2]:
        main = F.leaky_relu(normalised(F.conv2d(main, kernel, padding=1)), 0.1)
    main = normalised(F.conv2d(main, kernels[2], padding=1))
    shortcut = normalised(F.conv2d(maps, kernels[3]))
    expected = F.max_pool2d(F.leaky_relu(main + shortcut, 0.1), 2)
    torch.testing.assert_close(block(maps), expected)


def test_resnet12_starts_so_that_gradients_keep_their_size():
    """He, Zhang, Ren, Sun (2015): deviation sqrt(2 / (1 + slope^2) / fan), fan of the way back."""
    for p in backbones.resnet12(widths=(32, 32, 48, 48)).parameters():
        if p.dim() == 4 and p.numel() > 1000:
            fan = p.numel() // p.shape[1]
            assert p.std().item() == pytest.approx((2 / 1.01 / fan) ** 0.5, rel=0.1)


def test_resnet12_leaves_out_single_places_and_then_squares_as_its_authors_do():
    blocks = backbones.resnet12(widths=(4, 4, 4, 4), drop_size=3).blocks
    assert [block.drop.size for block in blocks] == [1, 1, 3, 3]


def test_resnet12_leaves_out_other_places_in_each_block_and_pass_and_for_each_seed():
    one, other = (
        backbones.resnet12(channels=1, widths=(4, 4, 8, 8), drop_rate=0.5, seed=seed)
        for seed in (0, 1)
    )
    maps = torch.ones(4, 8, 6, 6)
    masks = [block.drop(maps) for net in (one, other) for block in net.blocks]
    assert len({mask.numpy().tobytes() for mask in masks}) == 8
    assert not any(torch.equal(mask, maps) for mask in masks)
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(one(images), one(images))


@pytest.mark.parametrize(("average", "size"), [(True, 8), (False, 8 * 2 * 3)])
def test_resnet12_embeds_by_the_mean_or_by_the_whole_map(average, size):
    net = backbones.resnet12(channels=1, widths=(4, 4, 8, 8), average=average)
    assert net(torch.zeros(2, 1, 32, 48)).shape == (2, size)


def test_resnet12_learns():
    net = backbones.resnet12(channels=1, widths=(4, 4, 8, 8), drop_rate=0.0)
    net(torch.rand(4, 1, 16, 16)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (4, 4, 4)}, "widths is"),
        ({"widths": (4, 4, 4, 0)}, "width is 0"),
        ({"drop_rate": 1.0}, "drop_rate is 1.0"),
        ({"drop_size": 0}, "drop_size is 0"),
    ],
)
def test_resnet12_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        backbones.resnet12(**options)


@pytest.mark.parametrize("backbone", ["conv4", "resnet12"])
@pytest.mark.parametrize("shape", [(2, 28, 28), (1, 15, 28)])
def test_pictures_that_do_not_fit_are_refused(backbone, shape):
    net = backbones.create(backbone, channels=1)
    with pytest.raises(ValueError, match=f"this {backbone} needs 1 channels of at least 16x16"):
        net(torch.zeros(1, *shape))


# DropBlock


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize(("shape", "size"), [((20, 20), 3), ((12, 12), 5), ((8, 24), 5)])
def test_dropblock_leaves_out_about_its_rate_in_squares_and_keeps_the_mean(rate, shape, size):
    drop = DropBlock(rate, size, seed=0)
    out = drop(torch.ones(400, 2, *shape))
    left_out = (out == 0).float().mean().item()
    assert 0.7 * rate < left_out < 1.05 * rate, "overlapping squares make it a little less"
    assert out.mean().item() == pytest.approx(1, rel=1e-4)
    independent = pytest.approx(2 * left_out * (1 - left_out), rel=0.15)
    for some, others in ((out[:, 0], out[:, 1]), (out[::2], out[1::2])):
        assert ((some == 0) != (others == 0)).float().mean().item() == independent
    first = (out[:, 0] == 0).float()
    opened = torch.nn.functional.max_pool2d(
        torch.nn.functional.pad(
            -torch.nn.functional.max_pool2d(-first[:, None], size, 1), [size - 1] * 4
        ),
        size,
        1,
    )
    assert torch.equal(opened[:, 0], first), "what is left out is a union of whole squares"


def test_dropblock_passes_maps_in_evaluation_mode_and_at_rate_0():
    maps = torch.rand(2, 3, 6, 6)
    assert torch.equal(DropBlock(0.5, 3, seed=0).eval()(maps), maps)
    assert torch.equal(DropBlock(0.0, 3, seed=0).train()(maps), maps)


def test_dropblock_keeps_the_number_format():
    assert DropBlock(0.5, 3, seed=0)(torch.ones(2, 3, 6, 6).bfloat16()).dtype == torch.bfloat16


def test_dropblock_goes_on_where_its_state_says():
    maps = torch.ones(4, 3, 8, 8)
    whole = DropBlock(0.3, 3, seed=1)
    expected = [whole(maps) for _ in range(4)]
    assert not torch.equal(expected[0], expected[1])
    first, second = DropBlock(0.3, 3, seed=1), DropBlock(0.3, 3, seed=1)
    found = [first(maps), first(maps)]
    second.load_state_dict(first.state_dict())
    found += [second(maps), second(maps)]
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(DropBlock(0.3, 3, seed=2)(maps), expected[0])


def test_dropblock_on_maps_smaller_than_its_square():
    out = DropBlock(0.2, 5, seed=0)(torch.ones(1000, 1, 1, 1))
    assert 0.1 < (out == 0).float().mean() < 0.3


# torchvision


@pytest.mark.parametrize(
    ("model", "side", "size"),
    [
        ("resnet18", 32, 512),
        ("vgg11", 32, 4096),
        ("mobilenet_v3_small", 32, 1024),
        ("efficientnet_b0", 32, 1280),
        ("densenet121", 32, 1024),
        ("googlenet", 32, 1024),
        ("inception_v3", 75, 2048),
        ("vit_b_32", 224, 768),
        ("swin_t", 32, 768),
        ("convnext_tiny", 32, 768),
    ],
)
def test_torchvision_networks_embed_by_what_comes_before_their_last_layer(model, side, size):
    net = backbones.torchvision(model, seed=0).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 1, side, side)).shape == (1, size)


@pytest.fixture(scope="module")
def resnet18():
    return backbones.torchvision("resnet18", seed=0).eval().requires_grad_(False)


def test_grey_is_the_same_as_three_equal_channels(resnet18):
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resnet18(grey), resnet18(grey.repeat(1, 3, 1, 1)))


def test_pictures_are_normalised_before_the_network_sees_them():
    net = backbones.torchvision("mobilenet_v3_small", seed=0).eval().requires_grad_(False)
    net.mean.fill_(0.5)
    net.std.fill_(0.25)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(images), net.network((images - 0.5) / 0.25))


def test_trained_weights_are_asked_for_by_name_and_normalise_pictures(monkeypatch):
    from torchvision import models

    asked = {}
    get_model = models.get_model

    def without_download(name, weights, **options):
        asked["weights"] = weights
        return get_model(name, weights=None, **options)

    monkeypatch.setattr(models, "get_model", without_download)
    net = backbones.torchvision("resnet18", weights="DEFAULT")
    assert asked == {"weights": "DEFAULT"}
    assert net.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert net.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    again = backbones.create(**net.config)
    assert asked == {"weights": None}, "made again from its config, it downloads nothing"
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.mean, net.mean)


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models.get_model", offline)
    with pytest.raises(
        OSError, match=r"DEFAULT of resnet18 could not be downloaded \(no network\)"
    ):
        backbones.torchvision("resnet18", weights="DEFAULT")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet"}, "unknown torchvision model 'resnet'; known, closest first: resnet"),
        ({"weights": "IMAGENET1K_V9"}, "unknown weights of resnet18 'IMAGENET1K_V9'"),
        ({"model": "squeezenet1_0"}, "squeezenet1_0 has no last linear layer"),
    ],
)
def test_torchvision_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        backbones.torchvision(**options)


def test_torchvision_says_how_many_channels_it_takes(resnet18):
    with pytest.raises(
        ValueError,
        match=r"images have shape \[1, 2, 32, 32\]; torchvision needs \[B, 1 or 3, H, W\]",
    ):
        resnet18(torch.zeros(1, 2, 32, 32))


# scikit-learn


def test_a_pipeline_of_scikit_learn_embeds_and_is_evaluated(pool):
    flat = pool.images.flatten(1).float().numpy() / 255
    pipeline = make_pipeline(StandardScaler(), PCA(5, random_state=0)).fit(flat)
    backbone = backbones.SklearnTransformer(pipeline)
    np.testing.assert_allclose(
        backbone(torch.from_numpy(flat)), pipeline.transform(flat), atol=1e-5
    )
    learner = MetricLearner(backbone, heads.Prototypical())
    report = evaluate(learner, ClassificationTasks(pool, n_way=3, n_query=2), episodes=50)
    assert 0 <= report.accuracy <= 1


def test_what_does_not_transform_is_refused():
    with pytest.raises(TypeError, match="has no transform; a backbone needs one"):
        backbones.SklearnTransformer(DBSCAN().fit(np.eye(6)))


def test_a_transformer_that_was_not_fitted_is_refused():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        backbones.SklearnTransformer(PCA(3))
