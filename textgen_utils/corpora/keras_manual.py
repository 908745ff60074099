r"""The Keras manual: every docstring of the installed Keras, as running text.

English prose mixed with code, written by many people, at hand wherever this package is installed
and pinned by the version of Keras. The files are read with `ast`; Keras is not imported.

Docstrings repeat each other: a third of their text is boilerplate such as the description of
`data_format`, copied from class to class. A copy that sits in two parts would let a model be
praised for its memory, so copies are removed *before* the split, and by one rule:

    Docstrings are taken in the order of their files and lines. A block (a paragraph, a list item
    or a fenced listing) is dropped if it would make the docstring contain `RUN` consecutive words
    that an earlier docstring has kept. Words are separated by white space; case is ignored. A
    heading whose blocks are all dropped goes with them, and so does what remains of a docstring
    if an earlier one has become the same.

So no run of `RUN` words occurs in two docstrings, and no sentence of `RUN` or more words is in
two parts. Each docstring then goes to one part by the hash of its full text.

Source: the Keras team and contributors, Apache License 2.0.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from textgen_utils.corpora import splits
from textgen_utils.corpora.types import Corpus

RUN = 8

_ITEM = re.compile(r"(?:[-*•] |\d+[.)] |>>> |[`*]*[A-Za-z_]\w*[`*]*(?:,? [^:]{0,40})?:(?:\s|$))")


def docstrings(package: str = "keras") -> list[str]:
    """All distinct docstrings of an installed package, in the order of files and lines.

    Args:
        package: name of a package that is installed as Python source files.

    Returns:
        Docstrings with their common indentation removed.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package named {package!r} is installed to read docs from")
    root = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # escapes in other people's strings
        for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
            found.update(dict.fromkeys(_of_source(path.read_text(encoding="utf-8"))))
    return list(found)


def without_copies(texts: Iterable[str], run: int = RUN) -> list[str]:
    """Drops every block that repeats `run` consecutive words of an earlier text.

    Args:
        texts: docstrings, in the order that decides which copy is the first.
        run: number of words.

    Returns:
        As many texts as were given; one that lost everything is "".
    """
    seen: set[tuple[str, ...]] = set()
    kept: set[str] = set()
    result = []
    for text in texts:
        rest = _new_blocks(text, seen, run)
        result.append("" if rest in kept else rest)
        kept.add(rest)
    return result


def split(package: str = "keras") -> tuple[list[str], list[str], list[str]]:
    """The docstrings of the train, valid and test parts, copies removed."""
    originals = docstrings(package)
    pairs = [(o, t) for o, t in zip(originals, without_copies(originals), strict=True) if t]
    parts = splits.partition(pairs, key=lambda p: p[0], symbols=lambda p: set(p[1]))
    return tuple([text for _, text in part] for part in parts)


def load() -> Corpus:
    """Loads the Keras manual; a blank line separates two docstrings.

    Returns:
        About one million characters, of which about 90 % are train. Every character of valid and
        test occurs in train.
    """
    return Corpus("keras_manual", *("\n\n".join(part) + "\n" for part in split()))


def _of_source(source: str) -> Iterator[str]:
    for node in _owners(ast.parse(source)):
        text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
        text = "\n".join(line.rstrip() for line in text.split("\n")).strip()
        if text:
            yield text


def _owners(node: ast.AST) -> Iterator[ast.AST]:
    """The module, classes and functions in the order of their lines."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node
    for child in ast.iter_child_nodes(node):
        # Only statements are entered: most nodes are expressions, which own no docstring.
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _owners(child)


def _blocks(text: str) -> Iterator[list[str]]:
    """Lines of each paragraph, list item, fenced listing or (alone) blank line."""
    block: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        if block and not fenced and (fence or _starts_block(line, block)):
            yield block
            block = []
        block.append(line)
        if fence and fenced:
            yield block
            block = []
        fenced ^= fence
    if block:
        yield block


def _starts_block(line: str, block: list[str]) -> bool:
    if not line.strip() or not block[0].strip():
        return True
    return _indent(line) < _indent(block[0]) or bool(_ITEM.match(line.lstrip()))


def _new_blocks(text: str, seen: set[tuple[str, ...]], run: int) -> str:
    """Keeps the blocks of one text that repeat nothing in `seen`, then adds its runs to `seen`."""
    kept: list[str] = []
    words: list[str] = []
    headings: list[str] = []  # announced, but nothing below them kept yet
    for block in _blocks(text):
        if block == [""]:
            kept.append("")
            continue
        if block[0].endswith(":"):
            headings = [h for h in headings if _indent(h) < _indent(block[0])]
            if len(block) == 1:
                headings.append(block[0])
                continue
        lines = headings + block
        new = [w.lower() for line in lines for w in line.split()]
        if seen.isdisjoint(_runs(words[1 - run :] + new, run)):
            kept += lines
            words += new
            headings = []
    seen.update(_runs(words, run))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _runs(words: list[str], run: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + run]) for i in range(len(words) - run + 1))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
