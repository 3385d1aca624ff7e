"""Fully sharded training (FSDP2) for networks that do not fit: every process keeps a part of each weight.

A process has 1/n of the weights, of their gradients and of the optimiser's state. The weights of a block come together
shortly before it computes and part again behind it (Rajbhandari et al., ZeRO stage 3, 1910.02054; Zhao et al.,
2304.11277). On GPUs they travel through NCCL, on CPUs through gloo.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.modules.batchnorm import _BatchNorm

from skipline.models import Block
from skipline.models.googlenet import Inception
from skipline.models.quick import QuickStage
from skipline.training.recipe import Recipe

BLOCKS = (Block, Inception, QuickStage)
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
WHOLE_PRECISION = MixedPrecisionPolicy(cast_forward_inputs=False)


def shard(network: nn.Module, *, bf16: bool = False, keep_whole: bool = False) -> int:
    """Split every weight of a network over all processes; all of them call it with the same network.

    Each residual block becomes a unit whose weights come together at once, in networks without blocks each
    convolution and linear layer; what is left comes with the network. A network is sharded on its device, after its
    batch norm was synchronised, and before its optimiser is built: the parameters are new ones.

    Memory layouts of weights are lost: FSDP wants contiguous ones, so a sharded network must not be laid out
    channels-last afterwards. Images may be.

    Args:
        network: changed in place; keeps its class's name with FSDP in front, its attributes and the keys of its
            state dict.
        bf16: weights travel and compute as bf16, norms aside; the parts, gradients and updates stay fp32.
        keep_whole: weights stay whole between forward and backward pass: they travel once less a step, and take the
            memory of an unsharded network meanwhile. False is for networks that do not fit.

    Returns:
        How many units there are, the network itself included.
    """
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if bf16 else WHOLE_PRECISION
    inner = _units(network)
    for unit in (*inner, network):
        _shard(unit, policy, not keep_whole)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            # Over gloo some versions of torch give the sum of gradients where their mean is asked for, without a word
            # (pytorch issue 162338); a sum that is divided here is right in all.
            module.set_force_sum_reduction_for_comms(dist.get_backend() == "gloo")
    return len(inner) + 1


def _shard(unit: nn.Module, policy: MixedPrecisionPolicy, again: bool) -> None:
    if policy.param_dtype is not None:
        _shard_norms(unit, again)
    fully_shard(unit, mp_policy=policy, reshard_after_forward=again)


def _shard_norms(unit: nn.Module, again: bool) -> None:
    """Keep norms out of bf16: their statistics are fp32, and no kernel mixes those with weights of bf16."""
    norms: list[nn.Module] = [
        module
        for module in unit.modules()
        if isinstance(module, _BatchNorm) and module.affine and not isinstance(module, FSDPModule)
    ]
    # Together where all of them run whenever the unit does; GoogLeNet's auxiliary heads are idle in evaluation.
    together = [norms] if isinstance(unit, BLOCKS) else [[norm] for norm in norms]
    for several in filter(None, together):
        fully_shard(several, mp_policy=WHOLE_PRECISION, reshard_after_forward=again)


def _units(network: nn.Module) -> list[nn.Module]:
    """The blocks, inner ones first; without blocks the layers that have most of the weights."""
    inner_first = [*network.modules()][::-1]
    blocks: list[nn.Module] = [module for module in inner_first if isinstance(module, BLOCKS)]
    return blocks or [module for module in inner_first if isinstance(module, LAYERS)]


def whole_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of a sharded network with whole weights, on the CPU; all processes call it together.

    Returns:
        What an unsharded network of the same kind loads; empty in all processes but the first.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    statistics = {
        key for key, _ in network.named_buffers()
    }  # which are not sharded, and would come as they are
    state = get_model_state_dict(network, options=options)
    return {
        key: value.clone() if key in statistics else value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def accumulate(network: nn.Module, last: bool) -> None:
    """Say before a backward pass whether more follow before the next step.

    Gradients travel with the last one alone; until then every process holds whole ones, n times the memory.
    """
    assert isinstance(network, FSDPModule)
    network.set_requires_gradient_sync(last)


def objections(recipe: Recipe) -> list[str]:
    """What a recipe asks for that sharded training cannot give.

    Args:
        recipe: of the run.

    Returns:
        One sentence each: what, why, and what to do; empty where there is none.
    """
    found = []
    if recipe.ema is not None:
        found.append(
            "ema follows the network in a copy, and what is sharded cannot be copied: leave it out (--set ema=none)"
        )
    if recipe.lookahead:
        found.append(
            "lookahead averages weights and statistics in one go, and of sharded weights a process has a part only: "
            "leave it out (--set lookahead=false)"
        )
    if recipe.distributed.bf16_gradients:
        found.append(
            "distributed.bf16_gradients is for gradients that every process has whole: with sharding leave it out, and "
            "take --set precision=bf16, where weights travel as bf16"
        )
    return found
