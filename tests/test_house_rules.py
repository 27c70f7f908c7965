"""Style is a program: the house rules that ruff, mypy and import-linter do not know, checked on every file.

A rule is a function from one parsed module to findings.  ``EXAMPLES`` proves that each rule finds what it
should and leaves alone what it should.  Limits only ever tighten.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "gridagora"

FILE_LINES = 500
FUNCTION_LINES = 60
POSITIONAL_ARGUMENTS = 3
PRIVATE_POSITIONAL_ARGUMENTS = 3

PURE = frozenset(
    [
        "units",
        "errors",
        "model",
        "solve",
        "scenario",
        "forecast",
        "agents",
        "market",
        "grid",
        "settlement",
        "ledger",
        "billing",
        "reports",
        "engine",
    ]
)
"""Packages and modules that compute: no clock, no chance of their own, no input or output."""

READS_FILES = frozenset({"scenario/load.py", "model/_jit.py"})
"""Pure otherwise, but they open scenario files, and the lock of the compiled kernels on disk."""

ONLY_IMPORTER = {"highspy": "solve.py", "power_grid_model": "grid/power_flow.py"}
PANDAS_AT_TOP = ("scenario/", "studies/", "reports/", "adapters/", "bootstrap.py")

MUTABLE = frozenset({"scenario/yaml_text.py:Document", "grid/frames.py:Faults"})
"""Dataclasses that may change: a reader fills them piece by piece before anybody else sees them."""

CATCHES_ALL = frozenset({"market/checks.py"})
"""Runs a stranger's function, where any error is a finding to report."""

BANNED_MODULES = frozenset(
    ["random", "logging", "socket", "sqlite3", "urllib", "requests", "uuid", "secrets", "subprocess", "time"]
)
BANNED_CALLS = {
    "print": "return the text; the command line prints",
    "input": "take an argument",
    "open": "let an adapter read, and take the content",
    "datetime.now": "take `now` as an argument",
    "datetime.utcnow": "take `now` as an argument",
    "datetime.today": "take `now` as an argument",
    "date.today": "take `now` as an argument",
    "time.time": "take `now` as an argument",
}
FILE_METHODS = frozenset(
    [
        "read_text",
        "write_text",
        "read_bytes",
        "write_bytes",
        "mkdir",
        "unlink",
        "to_parquet",
        "to_csv",
        "to_excel",
    ]
)
RANDOM_WITH_SEED = frozenset(["default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator"])
MACHINE_PATHS = tuple("/" + name + "/" for name in ("work", "tmp", "root", "home", "Users"))

Finding = tuple[int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """One source file: ``place`` is its path below ``src/gridagora``."""

    place: str
    text: str
    tree: ast.Module

    @property
    def is_pure(self) -> bool:
        return self.place.split("/")[0].removesuffix(".py") in PURE

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


def parse(text: str, place: str = "market/sample.py") -> Module:
    return Module(place=place, text=text, tree=ast.parse(text))


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` of a name or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> dict[str, ast.expr]:
    return {
        dotted(item.func if isinstance(item, ast.Call) else item).rpartition(".")[2]: item
        for item in node.decorator_list
    }


def docstring_lines(node: ast.AST) -> int:
    first = node.body[0] if node.body else None
    held = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return first.end_lineno - first.lineno + 1 if held else 0


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def for_type_checkers(module: Module) -> set[int]:
    """Return the ids of all nodes under ``if TYPE_CHECKING``."""
    return {
        id(inner)
        for node in module.nodes(ast.If)
        if dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def short_files(module: Module) -> Iterator[Finding]:
    lines = module.text.count("\n")
    if lines > FILE_LINES:
        yield FILE_LINES, f"{lines} lines, at most {FILE_LINES}: split the file by what it knows"


def short_functions(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        lines = node.end_lineno - node.lineno + 1 - docstring_lines(node)
        if lines > FUNCTION_LINES:
            yield (
                node.lineno,
                f"{node.name} has {lines} lines, at most {FUNCTION_LINES}: name its steps as functions",
            )


def few_positional_arguments(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        if node.name.startswith("__") or decorators(node).keys() & COMPILING:
            continue
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        count = len([name for name in names if name not in ("self", "cls")])
        limit = PRIVATE_POSITIONAL_ARGUMENTS if node.name.startswith("_") else POSITIONAL_ARGUMENTS
        if count > limit:
            yield node.lineno, f"{node.name} takes {count} positional arguments, at most {limit}: use `*`"


def no_outside_world(module: Module) -> Iterator[Finding]:
    if not module.is_pure:
        return
    for node in module.nodes(ast.Import, ast.ImportFrom):
        for name in imported(node):
            if name.split(".")[0] in BANNED_MODULES:
                yield node.lineno, f"imports {name}: pure code gets time, chance and data as arguments"
    for node in module.nodes(ast.Call):
        yield from _call_findings(module, node)


def _call_findings(module: Module, node: ast.Call) -> Iterator[Finding]:
    name = dotted(node.func)
    last = name.rpartition(".")[2]
    for banned, instead in BANNED_CALLS.items():
        if banned == "open" and module.place in READS_FILES:
            continue
        if name == banned or name.endswith("." + banned):
            yield node.lineno, f"calls {name}: {instead}"
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method in FILE_METHODS and module.place not in READS_FILES:
        yield node.lineno, f"calls .{method}(): an adapter reads and writes files"
    if ".random." in f".{name}." and name.split(".")[0] in ("np", "numpy"):
        if last not in RANDOM_WITH_SEED:
            yield node.lineno, f"calls {name}: draw from a numpy Generator passed in"
        elif last == "default_rng" and not (node.args or node.keywords):
            yield node.lineno, "calls default_rng without a seed: the same run must give the same bytes"


def no_swallowed_errors(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.ExceptHandler):
        kinds = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
        broad = node.type is None or any(dotted(kind) in ("Exception", "BaseException") for kind in kinds)
        silent = all(
            isinstance(line, ast.Pass | ast.Continue)
            or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in node.body
        )
        if node.type is None:
            yield node.lineno, "bare except: name the errors you can mend"
        elif broad and (silent or (module.is_pure and module.place not in CATCHES_ALL)):
            yield node.lineno, "catches every error: name the ones you can mend"
    for node in module.nodes(ast.Call):
        if dotted(node.func).endswith("suppress") and any(
            dotted(a) in ("Exception", "BaseException") for a in node.args
        ):
            yield node.lineno, "suppresses every error: name the ones you can mend"


def no_global_state(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.Global):
        yield node.lineno, f"global {', '.join(node.names)}: pass the value or return a new one"


def no_assert(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.Assert):
        yield node.lineno, "assert is dropped by `python -O`: use errors.require or raise InputError"


def no_stubs(module: Module) -> Iterator[Finding]:
    for number, line in enumerate(module.text.splitlines(), start=1):
        for word in ("TODO", "FIXME", "XXX", "HACK"):
            if word in line.replace("_", " ").split("#", 1)[-1].split() or f"{word}:" in line:
                yield number, f"{word}: do it, or file it, but do not leave it here"
    for node in module.nodes(ast.Name):
        if node.id == "NotImplementedError":
            yield node.lineno, "NotImplementedError: what is not built is not there"
    protocols = {
        id(inner) for node in module.nodes(ast.ClassDef) if _is_protocol(node) for inner in ast.walk(node)
    }
    for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        body = node.body[1:] if docstring_lines(node) else node.body
        empty = all(isinstance(line, ast.Pass) or _is_ellipsis(line) for line in body)
        excused = id(node) in protocols or decorators(node).keys() & {
            "overload",
            "abstractmethod",
            "callback",
        }
        if empty and not excused:
            yield node.lineno, f"{node.name} does nothing: build it or remove it"


def _is_protocol(node: ast.ClassDef) -> bool:
    bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    return any(dotted(base).rpartition(".")[2] == "Protocol" for base in bases)


def _is_ellipsis(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and line.value.value is Ellipsis
    )


def frozen_dataclasses(module: Module) -> Iterator[Finding]:
    wanted = ("frozen", "kw_only", "slots")
    for node in module.nodes(ast.ClassDef):
        found = decorators(node).get("dataclass")
        if found is None:
            continue
        given = {word.arg: getattr(word.value, "value", None) for word in getattr(found, "keywords", [])}
        own_init = {"kw_only"} if given.get("init") is False else set()
        missing = [word for word in wanted if given.get(word) is not True and word not in own_init]
        if missing and f"{module.place}:{node.name}" not in MUTABLE:
            yield node.lineno, f"dataclass {node.name} is not {', '.join(missing)}: values never change"


def one_importer_of_each_engine(module: Module) -> Iterator[Finding]:
    for node in module.nodes(ast.Import, ast.ImportFrom):
        for name in imported(node):
            home = ONLY_IMPORTER.get(name.split(".")[0])
            if home not in (None, module.place):
                yield node.lineno, f"imports {name}: only {home} may, everything else calls it"


def pandas_at_the_edge(module: Module) -> Iterator[Finding]:
    if module.place.startswith(PANDAS_AT_TOP):
        return
    typing_only = for_type_checkers(module)
    inside = {
        id(inner) for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef) for inner in ast.walk(node)
    }
    for node in module.nodes(ast.Import, ast.ImportFrom):
        heavy = [
            name
            for name in imported(node)
            if name.split(".")[0] in ("pandas", "pandapower", "simbench", "plotly")
        ]
        if heavy and id(node) not in typing_only | inside:
            yield (
                node.lineno,
                f"imports {heavy[0]} at the top: import it in the function that needs it (start-up time)",
            )


def cached_kernels(module: Module) -> Iterator[Finding]:
    advice = "compile by model/_jit.py, which keeps the code on disk; never parallel (12 s to compile)"
    keepers = ("model/_jit.py", "market/_book_jit.py")
    for node in module.nodes(ast.Call):
        given = {word.arg for word in node.keywords}
        if dotted(node.func).endswith("njit") and (module.place not in keepers or "parallel" in given):
            yield node.lineno, advice
    for node in module.nodes(ast.FunctionDef):
        if any(dotted(decorator).endswith("njit") for decorator in node.decorator_list):
            yield node.lineno, advice


Rule = Callable[[Module], Iterator[Finding]]

EXAMPLES: dict[Rule, tuple[str, str]] = {
    short_files: ("x = 1\n" * (FILE_LINES + 1), "x = 1\n" * FILE_LINES),
    short_functions: (
        "def f():\n" + "    x = 1\n" * FUNCTION_LINES,
        'def f():\n    """Say much.\n' + "\n" * FUNCTION_LINES + '    """\n    return 1\n',
    ),
    few_positional_arguments: ("def f(a, b, c, d): return a", "def f(self, a, b, c, *, d): return a"),
    no_outside_world: (
        "now = datetime.datetime.now()\nx = np.random.rand(3)\nrng = np.random.default_rng()\n"
        "print(x)\nimport random\nPath('a').write_text('b')",
        "import numpy as np\nrng = np.random.default_rng(7)\nx = rng.random(3)\nbook.open_orders()",
    ),
    no_swallowed_errors: (
        "try:\n    f()\nexcept Exception:\n    pass\ntry:\n    f()\nexcept:\n    g()\n"
        "with suppress(Exception):\n    f()",
        "try:\n    f()\nexcept (ValueError, KeyError):\n    g()",
    ),
    no_global_state: ("def f():\n    global x\n    x = 1", "def f():\n    return 1"),
    no_assert: ("assert x > 0", "require(x > 0, 'x')"),
    no_stubs: (
        "# TODO later\nx = 1  # FIXME: wrong\ndef f():\n    raise NotImplementedError\ndef g(): ...",
        "class P(Protocol):\n    def f(self) -> int: ...\ntodo_list = []",
    ),
    frozen_dataclasses: (
        "@dataclass\nclass A: ...\n@dataclass(frozen=True, slots=True)\nclass B: ...",
        "@dataclass(frozen=True, kw_only=True, slots=True)\nclass A: ...",
    ),
    one_importer_of_each_engine: (
        "import highspy\nfrom power_grid_model import PowerGridModel",
        "import numpy",
    ),
    pandas_at_the_edge: (
        "import pandas as pd\nfrom plotly import graph_objects",
        "if TYPE_CHECKING:\n    import pandas as pd\ndef f():\n    import pandas as pd\n    return pd",
    ),
    cached_kernels: (
        "@njit\ndef f(x): return x\n@njit(cache=True, parallel=True)\ndef g(x): return x",
        "@compiled\ndef f(a, b, c, *, d, e): return a",
    ),
}
"""Each rule with text that breaks it on every count and text that keeps it."""

MODULES = [
    parse(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).as_posix())
    for path in sorted(SOURCE.rglob("*.py"))
]


COMPILING = {"njit"} | {
    function.name
    for module in MODULES
    for function in module.nodes(ast.FunctionDef)
    for call in ast.walk(function)
    if isinstance(call, ast.Call) and dotted(call.func).endswith("njit")
}
"""Decorators that compile: what they decorate may take many positional arguments, kernels know no others."""


def name_of(rule: Rule) -> str:
    return rule.__name__


@pytest.mark.parametrize("rule", EXAMPLES, ids=name_of)
def test_source_keeps_the_rule(rule: Rule) -> None:
    findings = [
        f"  src/gridagora/{module.place}:{line}: {message}"
        for module in MODULES
        for line, message in rule(module)
    ]
    assert not findings, f"{len(findings)} findings\n" + "\n".join(findings)


@pytest.mark.parametrize("rule", EXAMPLES, ids=name_of)
def test_rule_finds_what_breaks_it(rule: Rule) -> None:
    assert list(rule(parse(EXAMPLES[rule][0])))


@pytest.mark.parametrize("rule", EXAMPLES, ids=name_of)
def test_rule_leaves_good_code_alone(rule: Rule) -> None:
    assert list(rule(parse(EXAMPLES[rule][1]))) == []


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        (no_outside_world, 6),
        (no_swallowed_errors, 3),
        (no_stubs, 4),
        (frozen_dataclasses, 2),
        (cached_kernels, 2),
    ],
)
def test_rule_finds_each_kind_of_breach(rule: Rule, count: int) -> None:
    assert len(list(rule(parse(EXAMPLES[rule][0])))) >= count


def test_outer_layers_may_talk_to_the_world() -> None:
    assert list(no_outside_world(parse("print(open('a'))", "cli.py"))) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".csv", ".html", ".css", ""}
    folders = ("src", "tests", "docs", "benchmarks", ".ci")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    files += [path for path in sorted(ROOT.iterdir()) if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        if path.suffix in kinds and "__pycache__" not in path.parts and not path.name.startswith(".git")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if any(machine in f" {line}".replace("://", "") for machine in MACHINE_PATHS)
    ]
    assert not found, f"paths that exist on one machine only: {found}"
