"""A user's own network: the function that builds it, found in a file and called with what it asks for."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from skipline.errors import InputError

# What a factory may call the two numbers that depend on the images.
SPELLINGS = {
    "classes": ("classes", "num_classes", "n_classes"),
    "channels": ("channels", "in_channels", "num_channels", "in_chans"),
}


class Factory:
    """The function NAME of a file, as in "mynet.py:build".

    Args:
        target: "FILE.py:NAME"; the file is run once, when this object is made.

    Attributes:
        target: the same with an absolute path, so that another process in another folder finds it.

    Raises:
        InputError: no such file, a file that raises, or no such function in it.
    """

    def __init__(self, target: str) -> None:
        file, _, name = target.rpartition(":") if ".py:" in target else (target, "", "")
        self._file, self._name = Path(file).expanduser().resolve(), name
        self.target = f"{self._file}:{name}"
        if not self._file.is_file():
            raise InputError(f"no such file '{file}'. Expected FILE.py:NAME, NAME being a function in it")
        module = self._load()
        self._function = self._find(module, file)
        parameters = _parameters(self._function)
        self._spelling = {
            wanted: spelled
            for wanted, spellings in SPELLINGS.items()
            if (spelled := next((s for s in spellings if s in parameters), None)) is not None
        }

    def __call__(self, seed: int, classes: int, channels: int) -> nn.Module:
        """Build the network with fresh weights.

        Args:
            seed: of torch's generator, which is put back afterwards.
            classes: handed over where the function takes them (classes, num_classes or n_classes).
            channels: handed over where the function takes them (channels, in_channels, num_channels or in_chans).

        Raises:
            InputError: the function raises, or returns no network.
        """
        sizes = {"classes": classes, "channels": channels}
        arguments = {spelled: sizes[wanted] for wanted, spelled in self._spelling.items()}
        call = f"{self._name}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
        with torch.random.fork_rng(devices=[]), _importable(self._file.parent):
            torch.manual_seed(seed)
            try:
                network = self._function(**arguments)
            except Exception as error:  # whatever the user's code raises
                raise InputError(
                    f"{call} in '{self._file.name}' raised {type(error).__name__}: {error}"
                ) from error
        if not isinstance(network, nn.Module):
            raise InputError(
                f"{call} in '{self._file.name}' returned {type(network).__name__}, expected a torch.nn.Module"
            )
        return network

    def _load(self) -> ModuleType:
        digest = hashlib.sha256(str(self._file).encode()).hexdigest()[:12]
        name = f"skipline_target_{self._file.stem}_{digest}"
        found = importlib.util.spec_from_file_location(name, self._file)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module  # dataclasses and pickle look the module up by its name
        with _importable(self._file.parent):
            try:
                found.loader.exec_module(module)
            except Exception as error:  # whatever the user's code raises
                raise InputError(
                    f"'{self._file.name}' could not be run: {type(error).__name__}: {error}"
                ) from error
        return module

    def _find(self, module: ModuleType, file: str) -> Callable[..., Any]:
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        has = f"It defines {', '.join(own[:8])}" if own else "It defines no function"
        if not self._name:
            raise InputError(f"expected FILE.py:NAME, got '{file}': which function builds the network? {has}")
        if not hasattr(module, self._name):
            raise InputError(f"'{file}' has no '{self._name}'. {has}")
        value = getattr(module, self._name)
        if isinstance(value, nn.Module) or not callable(value):
            raise InputError(
                f"'{file}:{self._name}' is a {type(value).__name__}, expected a function that builds a network, "
                "since the examination builds it several times"
            )
        function: Callable[..., Any] = value
        return function


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some callables written in C have no signature
        return set()


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the user's file import its neighbours."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
