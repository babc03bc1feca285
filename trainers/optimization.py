"""Optimizer and learning rate schedule of a recipe."""

from __future__ import annotations

from collections import defaultdict

from torch import nn, optim

from trainers.recipe import Recipe

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """The trainable parameters by learning rate and weight decay.

    A parameter's attribute `lr_scale` multiplies its learning rate; its attribute `no_decay`, being of one dimension or
    belonging to a norm frees it of weight decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue
            seen.add(parameter)
            free = getattr(parameter, "no_decay", False) or parameter.ndim <= 1 or isinstance(module, NORMS)
            scale = float(getattr(parameter, "lr_scale", 1.0))
            groups[scale, 0.0 if free else recipe.weight_decay].append(parameter)
    return [
        {"params": parameters, "lr": recipe.lr * scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def make_optimizer(model: nn.Module, recipe: Recipe) -> optim.Optimizer:
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=True)
    return optim.AdamW(groups, lr=recipe.lr, fused=True)


def make_schedule(optimizer: optim.Optimizer, recipe: Recipe, steps: int) -> optim.lr_scheduler.LRScheduler:
    """A schedule over `steps` optimizer steps, whose learning rates peak at those of the groups."""
    if recipe.schedule == "cosine":
        return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    peaks = [group["lr"] for group in optimizer.param_groups]
    # The momentum stays: cycling it gains nothing here and AdamW's betas are not meant to move.
    return optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, cycle_momentum=False)
