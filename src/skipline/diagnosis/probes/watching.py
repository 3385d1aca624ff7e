"""Know which module is running and see every operation it calls, without changing either."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle


@dataclass(eq=False)
class Frame:
    """One running module.

    Attributes:
        module: itself.
        name: its path; "" for the network.
        inputs: tensors it was called with; dropped when it ends.
        within_layer: whether it is a layer or runs inside one.
    """

    module: nn.Module
    name: str
    inputs: list[torch.Tensor] = field(default_factory=list)
    within_layer: bool = False


class Watching(TorchFunctionMode):
    """Calls its methods `entered`, `left` and `called` while a network runs inside `with`.

    Forward hooks tell the module; the function mode shows functions and methods of tensors, F.relu and `x += y`
    alike. Backward hooks of modules are not used: they break networks that work in place.

    Args:
        network: any module.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._names = {module: name for name, module in network.named_modules()}
        self._handles: list[RemovableHandle] = []
        self.stack: list[Frame] = []

    def entered(self, frame: Frame) -> None:
        """A module begins; the frame is already on the stack."""

    def left(self, frame: Frame, output: Any) -> None:
        """A module ends; the frame is no longer on the stack."""

    def called(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        """An operation.

        Args:
            name: of the function, such as "relu_" or "conv2d".
            args: its arguments.
            kwargs: its arguments by name.
            run: the function.

        Returns:
            Its result.
        """
        return run(*args, **kwargs)

    def __enter__(self) -> Watching:
        try:
            for module in self._names:
                self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                self._handles.append(module.register_forward_hook(self._after, always_call=True))
            super().__enter__()  # type: ignore[no-untyped-call]
        except BaseException:
            self._unhook()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            super().__exit__(*exc)  # type: ignore[no-untyped-call]
        finally:
            self._unhook()
            self.stack.clear()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See one operation; those that happen inside it stay unseen."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":  # an attribute such as x.shape
            return func(*args, **kwargs)
        return self.called(name, args, kwargs, func)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        frame = Frame(module, self._names[module], list(tensors_in((args, kwargs))))
        self.stack.append(frame)
        with torch._C.DisableTorchFunction():  # what is measured here is not the network's doing
            self.entered(frame)

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        # A caught exception can leave frames of modules that never ended above this one.
        while self.stack:
            frame = self.stack.pop()
            if frame.module is module:
                break
        else:
            return
        if output is None:  # it raised
            return
        with torch._C.DisableTorchFunction():
            self.left(frame, output)
        frame.inputs.clear()

    def _unhook(self) -> None:
        while self._handles:
            self._handles.pop().remove()


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        inner: Iterable[Any] = value
        for part in inner:
            yield from tensors_in(part)
