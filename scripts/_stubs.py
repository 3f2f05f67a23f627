"""Functions and classes as Python stubs and their docstrings as Markdown: the same in every version of Python."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

WIDTH = 100
PLAIN = (int, float, str, bytes, bool, type(None))  # values whose repr is the same everywhere
MEMBERS = (property, cached_property, classmethod, staticmethod)


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, those of the package's own base classes too, as they stand in the source."""
    seen = set()
    for owner in kind.__mro__:
        if owner.__module__.split(".")[0] != kind.__module__.split(".")[0]:
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            if inspect.isfunction(member) or isinstance(
                member, property | cached_property | classmethod | staticmethod
            ):
                yield name, member


def function_behind(member: Any) -> Callable[..., Any]:
    """What is behind a property or a class method."""
    if isinstance(member, property):
        assert member.fget is not None
        return member.fget
    behind: Callable[..., Any] = getattr(member, "func", None) or getattr(member, "__func__", member)
    return behind


def stub_of(name: str, member: Any) -> list[str]:
    lines = signature_of(function_behind(member), name).splitlines()
    if isinstance(member, property | cached_property):
        return ["@property", *lines]
    if isinstance(member, classmethod | staticmethod):
        return [f"@{type(member).__name__}", *lines]
    return lines


def signature_of(function: Callable[..., Any], name: str | None = None) -> str:
    """Valid Python, on one line where it fits; the annotations as they are written."""
    parts: list[str] = []
    signature = inspect.signature(function)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    for i, (parameter, kind) in enumerate(zip(signature.parameters.values(), kinds, strict=True)):
        star = "*" if kind is parameter.VAR_POSITIONAL else "**" if kind is parameter.VAR_KEYWORD else ""
        if kind is parameter.KEYWORD_ONLY and not {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL} & set(kinds[:i]):
            parts.append("*")
        annotation = _written(parameter.annotation)
        text = star + parameter.name + (f": {annotation}" if annotation else "")
        if parameter.default is not parameter.empty:
            text += (" = " if annotation else "=") + _value(parameter.default)
        parts.append(text)
        if kind is parameter.POSITIONAL_ONLY and kinds[i + 1 : i + 2] != [parameter.POSITIONAL_ONLY]:
            parts.append("/")
    returns = _written(signature.return_annotation)
    head, tail = f"def {name or function.__name__}(", f"){f' -> {returns}' if returns else ''}: ..."
    if len(line := f"{head}{', '.join(parts)}{tail}") <= WIDTH:
        return line
    return "\n".join([head, *(f"    {part}," for part in parts), tail])


def _written(annotation: Any) -> str:
    """An annotation as text, the same in every version of Python; "" where there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    if annotation is None or annotation is type(None):
        return "None"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return unparsed(ast.parse(text, mode="eval"))


def unparsed(node: ast.AST) -> str:
    """As Python writes it, but with the quotes that this repository has."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _value(value: Any) -> str:
    """A default; what could print a path or an address of memory is left open."""
    if isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(one, PLAIN) for one in value)):
        return unparsed(ast.parse(repr(value), mode="eval"))
    return "..."


def own_init(kind: type) -> Callable[..., Any] | None:
    """What somebody has written to make one; None for what dataclass, NamedTuple and Protocol make up."""
    made_up = hasattr(kind, "__dataclass_fields__") or hasattr(kind, "_fields") or getattr(kind, "_is_protocol", False)
    init = vars(kind).get("__init__")
    return init if inspect.isfunction(init) and not made_up else None


def fields_of(kind: type) -> list[str]:
    """The annotated names of a class as they stand in the source, with the comments that give shapes and units."""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(kind))
    except (OSError, TypeError):
        return []
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    lines = []
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            comment = comments.get(node.end_lineno or node.lineno, "")
            comment = "" if "type: ignore" in comment or "noqa" in comment else comment
            lines.append(unparsed(node) + (f"  {comment}" if comment else ""))
    return lines


def prose_of(thing: Any) -> str:
    """A docstring as Markdown: arguments as a list, what it returns and raises as paragraphs of their own."""
    text = inspect.getdoc(thing) if not inspect.isclass(thing) else inspect.cleandoc(thing.__doc__ or "")
    if not text or text.startswith(f"{getattr(thing, '__name__', '')}("):  # what dataclass makes up
        return ""
    lines: list[str] = []
    in_arguments = False
    for line in text.splitlines():
        if line.strip() == "Args:":
            in_arguments = True
            lines += ["", "Arguments:", ""]
        elif in_arguments and (item := re.fullmatch(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif in_arguments and line.startswith("      "):
            lines.append(f"  {line.strip()}")
        elif section := re.fullmatch(r"(Returns|Raises|Yields|Source): (.*)", line):
            in_arguments = False
            lines += ["", f"*{section[1]}:* {section[2]}"]
        else:
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
