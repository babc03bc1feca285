"""How an uncompressed network begins where the recipe says so (Jordan 2024, arXiv 2404.00498, section 3).

Dirac: the first c filters of every hidden convolution of c channels pass their inputs on, so that the first steps see
images through the whole depth. Whitening: filters of the first convolution are eigenvectors of the covariance of image
patches, each over the root of its eigenvalue, and their negatives: what they give is decorrelated and of one size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bankwise.search_space.modules import layer_at
from bankwise.search_space.networks import IN_MEMORY, names_code
from bankwise.search_space.shape import LayerShape, NetworkShape
from bankwise.trainers.data import ImageData
from bankwise.trainers.recipe import Recipe

IMAGES = 2000  # whose patches are counted
LEAST = 5e-4  # added to eigenvalues, of images of about unit variance


@torch.no_grad()
def start(network: nn.Module, shape: NetworkShape, data: ImageData, recipe: Recipe) -> None:
    """Begin `network` as the recipe says. A network of the user's own is left as it is: it may be trained already."""
    if shape.network == IN_MEMORY or names_code(shape.network):
        return
    if recipe.start == "dirac":
        for layer in shape.layers[1:]:
            if _odd(layer):
                nn.init.dirac_(layer_at(network, layer.name).weight[: layer.c])
    first = shape.layers[0]
    if recipe.whiten and first.kind == "conv2d" and first.groups == 1 and first.c == data.input_shape[0]:
        filters = whitening(data, first.kernel)[: first.n // 2].to(layer_at(network, first.name).weight)
        layer_at(network, first.name).weight[: 2 * len(filters)] = torch.cat([filters, -filters])


def _odd(layer: LayerShape) -> bool:
    """Whether the middle of its kernel is one tap and filters suffice for all channels."""
    return layer.kind == "conv2d" and layer.groups == 1 and layer.n >= layer.c and all(d % 2 for d in layer.kernel)


def whitening(data: ImageData, kernel: tuple[int, int]) -> torch.Tensor:
    """Filters (c d_h d_w, c, d_h, d_w) whose outputs on training patches are uncorrelated, of largest variance first.

    The patches' mean is not taken away, as a convolution cannot: their second moments are decorrelated.
    """
    step = -(-len(data.train_x) // IMAGES)
    images = data.to_input(data.train_x[::step])
    patches = functional.unfold(images, kernel).transpose(1, 2).flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values.clamp(min=0) + LEAST).sqrt()).T.flip(0)
    shaped: torch.Tensor = filters.float().reshape(-1, images.shape[1], *kernel)
    return shaped
