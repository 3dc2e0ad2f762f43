"""Figures of the code base: rooms, import circles, imports that point up, lengths, comments.

    python benchmarks/code_figures.py [CHECKOUT]
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

LAYERS = (
    ("utils",),
    ("data", "networks"),
    ("losses", "config"),
    ("systems",),
    ("metrics",),
    ("training",),
    ("inference",),
    ("evaluation",),
    ("tools", "experiments"),
    ("cli",),
)
"""The rooms of gan_cli from the bottom to the top: a module may import from its own room and from those below."""
LEVEL = {room: level for level, layer in enumerate(LAYERS) for room in layer}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of all modules of the package in the folder `root`."""
    files = sorted((root / "gan_cli").rglob("*.py"))
    return {".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imports(root: Path) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, wherever in its file."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for name, file in known.items():
        used = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gan_cli"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                used |= {full if full in known else str(node.module) for full in names} - {"gan_cli"}
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names} & known.keys()
        found[name] = used - {name}
    return found


def pointing_up(edges: dict[str, set[str]]) -> list[str]:
    """The imports that point to a room above, or to another room of the same level."""
    wrong = []
    for name, used in edges.items():
        for other in used:
            here, there = (module.split(".")[1] if "." in module else "" for module in (name, other))
            if here in LEVEL and there in LEVEL and here != there and LEVEL[there] >= LEVEL[here]:
                wrong.append(f"{name} -> {other}")
    return sorted(wrong)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle."""

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for other in edges[waiting.pop()]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    reach = {name: reachable(name) for name in edges}
    groups = {tuple(sorted({name, *(o for o in reach[name] if name in reach[o])})) for name in edges}
    return sorted(list(group) for group in groups if len(group) > 1)


def lines_of_code(text: str) -> tuple[int, int]:
    """(lines that hold code, comments), without blank lines, comments and docstrings."""
    documented = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code, comments = set(), 0
    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments += 1
        elif token.type not in layout:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documented), comments


def main(root: Path) -> None:
    edges, files = imports(root), modules(root)
    texts = {name: file.read_text() for name, file in files.items()}
    tests = [file.read_text() for file in (root / "tests").rglob("*.py")]
    code = {name: lines_of_code(text) for name, text in texts.items()}
    trees = [node for text in texts.values() for node in ast.walk(ast.parse(text))]
    total = sum(text.count("\n") for text in texts.values())
    longest = max(texts, key=lambda name: texts[name].count("\n"))
    top = root / "gan_cli"
    folders = [p for p in top.iterdir() if p.is_dir() and any(p.rglob("*.py"))]
    raises = sum(isinstance(node, ast.Raise) for node in trees)
    figures = {
        "folders at the top of gan_cli": len(folders),
        "files at the top of gan_cli": len(list(top.glob("*.py"))),
        "modules": len(files),
        "import circles": len(circles(edges)),
        "imports that point up": len(pointing_up(edges)) if len(folders) > 10 else "no layers",
        "longest file": f"{files[longest].relative_to(root)}, {texts[longest].count(chr(10))} lines",
        "lines of the package": total,
        "lines of code of the package": sum(lines for lines, _ in code.values()),
        "comment lines": sum(comments for _, comments in code.values()),
        "lines of tests": sum(text.count("\n") for text in tests),
        "lines of code of tests": sum(lines_of_code(text)[0] for text in tests),
        "Any": sum(isinstance(node, ast.Name) and node.id == "Any" for node in trees),
        "hasattr": sum(isinstance(node, ast.Name) and node.id == "hasattr" for node in trees),
        "raise": raises,
        "raise per 1,000 lines": round(1000 * raises / total, 1),
    }
    width = max(map(len, figures))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
