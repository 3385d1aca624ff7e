"""The states of torch's generators, of every process that trains."""

from __future__ import annotations

import base64

import torch

from skipline.training.distributed import Group

States = dict[str, torch.Tensor]


def random_states(group: Group) -> list[States]:
    """The state of torch's default generators, one a device, of each process by rank."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():  # each process draws on the device that it computes on
        state["cuda"] = torch.cuda.get_rng_state()
    if group.alone:
        return [state]
    rows = {name: group.gathered(group.on_device(value)) for name, value in state.items()}
    return [{name: values[rank].cpu() for name, values in rows.items()} for rank in range(group.size)]


def restore_random_states(states: list[States], group: Group) -> None:
    """Take up the states of torch's default generators.

    Where another number of processes goes on, there is no state for each: all draw anew from the first one's, every
    process its own way.
    """
    same = len(states) == group.size
    state = states[group.rank if same else 0]
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if not same:
        torch.manual_seed(int(torch.randint(2**62, (1,))) + group.rank)


def as_text(states: list[States]) -> list[dict[str, str]]:
    """The same as JSON has it."""
    return [
        {name: base64.b64encode(bytes(s.tolist())).decode() for name, s in state.items()} for state in states
    ]


def from_text(states: list[dict[str, str]]) -> list[States]:
    """What `as_text` was given.

    Raises:
        ValueError: it is something else.
    """
    return [
        {
            name: torch.tensor(list(base64.b64decode(s, validate=True)), dtype=torch.uint8)
            for name, s in state.items()
        }
        for state in states
    ]
