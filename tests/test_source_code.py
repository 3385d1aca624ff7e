"""What the source must not contain: ways to run what a file says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import skipline

SOURCE = Path(skipline.__file__).parent
RUN = frozenset({"eval", "exec", "compile", "__import__", "execfile"})
UNPICKLERS = frozenset(
    {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
)
FORBIDDEN = frozenset(
    {
        "os.system",
        "os.popen",
        "os.execv",
        "os.execvp",
        "os.spawnv",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
    }
    | {"yaml.load", "yaml.unsafe_load", "torch.hub.load", "torch.jit.load", "shutil.unpack_archive"}
    | {"tempfile.mktemp"}
)


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and reason of every call that could run what a file says."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name
                if alias.asname
                else alias.name.split(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        called = dotted(node.func, names)
        if called in RUN:
            yield node.lineno, f"{called}()"
        elif called in FORBIDDEN:
            yield node.lineno, called
        elif called.split(".")[0] in UNPICKLERS and called.rpartition(".")[2] in (
            "load",
            "loads",
            "Unpickler",
            "open",
        ):
            yield node.lineno, f"{called}: unpickling runs code"
        elif called == "torch.load" and not is_true(given.get("weights_only")):
            yield node.lineno, "torch.load without weights_only=True"
        elif called in ("numpy.load", "numpy.lib.npyio.load") and "allow_pickle" in given:
            yield node.lineno, "numpy.load with allow_pickle"
        elif "shell" in given:
            yield node.lineno, f"{called} with shell="
        elif called.endswith((".extractall", ".extract")):
            yield node.lineno, f"{called}: unpacks to paths that the archive names"


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The called name with its module, as far as the file says."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def test_no_file_of_ours_runs_what_a_file_says() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    found = [
        f"{file.relative_to(SOURCE)}:{line}: {reason}"
        for file in files
        for line, reason in offences(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "exec(text)",
        "import os\nos.system('ls')",
        "from os import system\nsystem('ls')",
        "import subprocess as s\ns.run('ls', shell=True)",
        "import pickle\npickle.load(f)",
        "from pickle import loads\nloads(b)",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "import torch\ntorch.load(f, weights_only=flag)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import joblib\njoblib.load(f)",
        "import tarfile\ntarfile.open(f).extractall()",
        "import torch\ntorch.hub.load('a/b', 'c')",
    ],
)
def test_the_search_finds_each_of_them(code: str) -> None:
    assert len([*offences(ast.parse(code))]) == 1


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load(f, weights_only=True)",
        "network.eval()",
        "import re\nre.compile('a')",
        "import torch\ntorch.compile(n)",
        "import numpy as np\nnp.load(f)",
        "import subprocess\nsubprocess.run(['ls'])",
        "import json\njson.load(f)",
    ],
)
def test_the_search_leaves_the_rest_alone(code: str) -> None:
    assert not [*offences(ast.parse(code))]
