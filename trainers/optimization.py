"""Optimizer and learning rate schedule of a recipe."""

from __future__ import annotations

from collections import defaultdict

from torch import nn, optim

from bankwise.trainers.recipe import Recipe

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """The trainable parameters by weight decay.

    Parameters of one dimension, those of norms and those that a module names in its method `no_weight_decay()`, as
    networks of timm do, have none.
    """
    named = {parameter for module in model.modules() for parameter in _without_decay(module)}
    groups: dict[float, list[nn.Parameter]] = defaultdict(list)
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue
            seen.add(parameter)
            no_decay = parameter in named or parameter.ndim <= 1 or isinstance(module, NORMS)
            groups[0.0 if no_decay else recipe.weight_decay].append(parameter)
    return [{"params": parameters, "lr": recipe.lr, "weight_decay": decay} for decay, parameters in groups.items()]


def _without_decay(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of the paths that its `no_weight_decay()` gives, where it has one; others are passed over, such as
    those of a layer that was replaced."""
    names = getattr(module, "no_weight_decay", None)
    if not callable(names):
        return []
    wanted = set(names())
    return [parameter for name, parameter in module.named_parameters(remove_duplicate=False) if name in wanted]


def make_optimizer(model: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The recipe's optimizer over `parameter_groups`: SGD with Nesterov momentum 0.9, or AdamW."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)
    return optim.AdamW(groups, lr=recipe.lr, fused=True)


def make_schedule(optimizer: optim.Optimizer, recipe: Recipe, steps: int) -> optim.lr_scheduler.LRScheduler:
    """The recipe's schedule over `steps` optimizer steps; learning rates peak at those of the groups.

    Of a single step one-cycle would be its end, near 0: it is taken as the first of two.
    """
    if recipe.schedule == "cosine":
        return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    peaks = [group["lr"] for group in optimizer.param_groups]
    # The momentum stays: cycling it gains nothing here and AdamW's betas are not meant to move.
    return optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=max(steps, 2), cycle_momentum=False)
