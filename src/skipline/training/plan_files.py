"""What the [run] table of a run folder's recipe.toml may hold; the folder may come from anywhere."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skipline.data.values.rows import MOST_CHANNELS
from skipline.errors import RecipeError
from skipline.training.recipe import MISTAKES_SHOWN

_Name = Annotated[str, Field(max_length=4096)]
_Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Options(_Part):
    classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)] | None = None
    shortcut: _Name | None = None
    variant: _Name | None = None
    zero_gamma: bool = False
    stochastic_depth: float = 0.0
    scale: Annotated[int, Field(ge=1, le=8)] | None = None
    global_residual: bool | None = None
    residual_scaling: float | None = None


class _Execution(_Part):
    channels_last: bool = True
    micro_batch: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    compiled: bool = False


class _Run(_Part):
    source: _Name
    model: _Name
    options: _Options = _Options()
    seed: _Whole = 0
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    data_root: _Name | None = None
    strict: bool = False
    twin: bool = False
    fingerprint: _Name = ""
    execution: _Execution = _Execution()
    processes: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    job: _Name = ""


def split_tables(tables: dict[str, Any], origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two halves of a run's recipe.toml.

    Args:
        tables: of the file; used up.
        origin: what to call it in an error.

    Returns:
        The recipe's tables, not yet validated, and the arguments of `Plan` beside the recipe, which are.

    Raises:
        RecipeError: there is no [run] table, or impossible values in it.
    """
    run = tables.pop("run", None)
    if not isinstance(run, dict):
        raise RecipeError(["expected the recipe.toml of a run with its [run] table"], origin)
    try:
        return tables, _Run.model_validate(run).model_dump(exclude_unset=True)
    except ValidationError as error:
        mistakes = [
            f"[run] {'.'.join(str(part)[:100] for part in detail['loc'])}: {detail['msg'].lower()}"
            for detail in error.errors(include_url=False, include_input=False)[:MISTAKES_SHOWN]
        ]
        raise RecipeError(mistakes, origin) from None
