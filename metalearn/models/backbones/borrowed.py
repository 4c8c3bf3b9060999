"""Backbones of others: the pixels themselves, torchvision's networks, scikit-learn's transformers."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..._checks import seed_of
from ..._registry import unknown
from .building import seeded

WITHOUT_SIDE_OUTPUTS = {"aux_logits": False, "init_weights": True}
OF_NEW = {"googlenet": WITHOUT_SIDE_OUTPUTS, "inception_v3": WITHOUT_SIDE_OUTPUTS}
OF_WEIGHTS = ("transform_input", "image_size")


class Identity(nn.Module):
    """The example itself, flattened, as its own embedding: the baseline in pixel space.

    Shape:
        [B, ...] -> [B, D]

    Example:
        >>> Identity()(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 784])

    Derived in chapter 1, *Learning from one example*.
    """

    config: ClassVar = {"name": "identity"}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Torchvision(nn.Module):
    """Any of torchvision's classification networks that ends in a linear layer, without that layer.

    Grey pictures are repeated in three channels. Pictures are used at the size they have: for weights that
    were trained at 224 pixels, `pool.resize(224)` first. Networks with dropout draw from torch's global
    generator in training.

    Args:
        model: its name in torchvision, such as "resnet18" or "convnext_tiny".
        weights: the name of trained weights, such as "DEFAULT", which are downloaded; None starts anew.
            With them, pictures are normalised as they were in that training.
        seed: decides the initial weights; torch's global generator is left as it was.
        options: further options of torchvision's function, such as `image_size` of a vision transformer.

    Shape:
        [B, 1 or 3, H, W] -> [B, D]

    Raises:
        ValueError: no model or weights of this name, or a model that has no last linear layer.
        OSError: the weights cannot be downloaded.

    Example:
        >>> net = Torchvision("mobilenet_v3_small", seed=0).eval()
        >>> net(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 1024])

    Derived in chapter 4, *Learn a model*.
    """

    def __init__(
        self, model: str = "resnet18", weights: str | None = None, seed: int = 0, **options: Any
    ):
        from torchvision import models

        super().__init__()
        known = models.list_models(module=models)
        if model not in known:
            raise ValueError(unknown("torchvision model", model, known))
        mean, std = (0.0,), (1.0,)
        if weights is not None:
            choices = models.get_model_weights(model)
            if weights not in choices.__members__:
                raise ValueError(unknown(f"weights of {model}", weights, choices.__members__))
            trained = choices[weights].transforms()
            mean, std = trained.mean, trained.std
        else:
            options = OF_NEW.get(model, {}) | options
        with seeded(seed_of(seed)):
            self.network = _made(model, weights, options)
        if weights is not None:  # what they decided of the network, so that it can be made again
            options |= {k: v for k, v in vars(self.network).items() if k in OF_WEIGHTS}
        self.config = {"name": "torchvision", "model": model, "seed": seed_of(seed), **options}
        _without_last_layer(self.network, model)
        self.register_buffer("mean", torch.tensor(mean).expand(3).reshape(3, 1, 1).clone())
        self.register_buffer("std", torch.tensor(std).expand(3).reshape(3, 1, 1).clone())
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                f"images have shape {list(images.shape)}; torchvision needs [B, 1 or 3, H, W]"
            )
        return self.network((images - self.mean) / self.std).flatten(1)


class SklearnTransformer(nn.Module):
    """A fitted transformer of scikit-learn as a backbone: PCA, a scaler, a pipeline of them.

    It is not trained further, and no gradient passes it.

    Args:
        transformer: fitted to flattened examples [n, D] as a learner hands them over: pixels from 0 to 1.

    Shape:
        [B, ...] -> [B, D]

    Raises:
        TypeError: it does not transform.
        sklearn.exceptions.NotFittedError: it was not fitted.

    Example:
        >>> from sklearn.decomposition import PCA
        >>> pixels = torch.rand(50, 784, generator=torch.Generator().manual_seed(0))
        >>> SklearnTransformer(PCA(8, random_state=0).fit(pixels.numpy()))(pixels).shape
        torch.Size([50, 8])

    Derived in chapter 4, *Learn a model*.
    """

    def __init__(self, transformer: Any):
        from sklearn.utils.validation import check_is_fitted

        super().__init__()
        if not hasattr(transformer, "transform"):
            raise TypeError(f"{transformer!r} has no transform; a backbone needs one")
        check_is_fitted(transformer)
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        z = self.transformer.transform(x.detach().flatten(1).cpu().numpy())
        return torch.as_tensor(z, dtype=torch.float32, device=x.device)


def _made(model: str, weights: str | None, options: dict[str, Any]) -> nn.Module:
    from torchvision import models

    try:
        return models.get_model(model, weights=weights, **options)
    except OSError as error:
        raise OSError(
            f"the weights {weights} of {model} could not be downloaded ({error}); without a network, "
            "weights=None starts anew"
        ) from error


def _without_last_layer(network: nn.Module, model: str) -> None:
    """Put the identity in the place of the last linear layer, the one that names classes."""
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ValueError(
            f"{model} has no last linear layer, before which an embedding could be taken"
        )
    network.set_submodule(linear[-1], nn.Identity())
