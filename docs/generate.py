"""Write the pages of docs/ that are derived from the code: models.md and recipes.md. `make docs` runs it."""

from __future__ import annotations

import inspect
from pathlib import Path

from skipline import models
from skipline.training import NAMED
from skipline.training.recipe import keys
from skipline.training.recipe_files import to_toml

HERE = Path(__file__).parent


def models_page() -> str:
    """The catalogue as a table, with parameters and multiply-adds counted from the networks themselves."""
    lines = [
        "# Networks",
        "",
        "Written by `make docs` from the catalogue. MACs are multiply-adds of convolutions and fully connected",
        "layers at the input shown; FLOPs are twice that.",
        "",
        "| Name | Family | Parameters | MACs | Input (C, H, W) or (C, L) |",
        "|---|---|---:|---:|---|",
    ]
    for name in models.names():
        spec = models.spec(name)
        lines.append(f"| {name} | {spec.family} | {spec.params:,} | {spec.macs:,} | {tuple(spec.input)} |")
    return "\n".join(lines) + "\n"


def recipes_page() -> str:
    """Every named recipe: its docstring, then the complete TOML."""
    lines = [
        "# Recipes",
        "",
        "Written by `make docs` from the code. A recipe is complete: what is not named has its default.",
        "",
    ]
    for name, build in NAMED.items():
        lines += [
            f"## {name}",
            "",
            inspect.getdoc(build) or "",
            "",
            "```toml",
            to_toml(build()).strip(),
            "```",
            "",
        ]
    lines += [
        "## Keys",
        "",
        "For `--set key=value` and TOML files:",
        "",
        ", ".join(f"`{key}`" for key in keys()) + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for page, text in (("models.md", models_page()), ("recipes.md", recipes_page())):
        (HERE / page).write_text(text, encoding="utf-8")
        print(f"docs/{page}")
