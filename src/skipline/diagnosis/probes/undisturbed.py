"""A bracket around measurements: what a forward pass changes in a network and in the generators is put back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

SEED = 0


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[Callable[[], None]]:
    """Put everything back at the end, also after an exception.

    That is: mode and attributes of every module, the values of every buffer (BN's statistics and counter among
    them), and the states of the generators of Python, NumPy, torch's CPU and the devices of the network. Weights and
    their gradients are not touched in the first place.

    Args:
        network: any module.

    Yields:
        A function that sets these generators to one fixed state, so that two passes draw the same dropout masks. Not
        `torch.manual_seed`: that would also fix the seed of devices not yet in use, which nothing could undo.
    """
    modules = list(network.modules())
    kept = [_Kept(module) for module in modules]
    own = {id(b): b for module in modules for b in module._buffers.values() if b is not None}
    # Memory that an expanded buffer shares with itself cannot be written to; nor would a forward pass.
    values = [(buffer, buffer.detach().clone()) for buffer in own.values() if 0 not in buffer.stride()]
    tensors = [p for module in modules for p in module._parameters.values() if p is not None]
    devices = {tensor.device for tensor in (*tensors, *own.values()) if tensor.device.type in ("cuda", "mps")}
    states = _generator_states(devices)
    try:
        yield lambda: _seed(devices)
    finally:
        for module in kept:
            module.restore()
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)
        _restore_generators(states)


class _Kept:
    """What one module holds, itself and not a copy."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._training = module.training
        self._plain = not isinstance(module, torch.jit.ScriptModule)  # whose attributes live elsewhere
        if self._plain:
            self._attributes = dict(module.__dict__)
            tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, module._modules)
            self._tables = [(t, dict(t)) for t in tables]

    def restore(self) -> None:
        if not self._plain:
            self._module.training = self._training
            return
        for table, values in self._tables:
            table.clear()
            table.update(values)
        self._module.__dict__.clear()
        self._module.__dict__.update(self._attributes)


def _seed(devices: set[torch.device]) -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.default_generator.manual_seed(SEED)
    for device in devices:
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(SEED)
        else:
            torch.mps.manual_seed(SEED)


def _generator_states(devices: set[torch.device]) -> dict[Any, Any]:
    states: dict[Any, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.get_rng_state(),
    }
    for device in devices:
        states[device] = (
            torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.mps.get_rng_state()
        )
    return states


def _restore_generators(states: dict[Any, Any]) -> None:
    random.setstate(states.pop("python"))
    np.random.set_state(states.pop("numpy"))
    torch.set_rng_state(states.pop("cpu"))
    for device, state in states.items():
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.mps.set_rng_state(state)
