"""The ways in which code bases write genotypes, read into plain values; parsed by Python's grammar, never evaluated.

- the text of quark0/darts, `NAME = Genotype(normal=[('skip_connect', 1), ...], normal_concat=range(2, 6), ...)`, in any
  layout, also behind the time stamp of a log, as a namedtuple, or as a mapping of its fields (JSON);
- triples (operation, state, source) of FairDARTS, `('sep_conv_3x3', 2, 0)` into state 2 from state 0, of which a node
  may have any number; as in their network, nodes without an edge are not concatenated and edges from them left out;
- pairs nested by node, `[(('skip_connect', 0), ('sep_conv_3x3', 1)), ...]`, with or without a weight (a fraction)
  behind the state: GDAS, SETN;
- the compact tuple of NAS-Bench-301, (normal, reduce), each edge (operation, source) or (source, number of COMPACT).
"""

import ast
import operator
import re
from collections.abc import Mapping

from darts_lab import spaces
from darts_lab.spaces import CELL_TYPES, KNOWN_CELL_TYPES, RECURRENT, concat_name, family, inputs_of

# In NASLib and naszilla; BANANAS, which counts `none` first, has one more.
COMPACT = tuple(name for name in spaces.DARTS.normal[0] if name != spaces.NONE)
FORM = (
    "Genotype(normal=[('operation', state), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
)
_LONGEST_TEXT, _LARGEST = 20_000, 999
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat", "connectN", "connects")  # the last two: GDAS, SETN
_CALL = re.compile(r"\bGenotype\s*\(")
_BRACKET = re.compile(r"\s*(?:[^\W\d]\w*\s*=\s*)?(?=[(\[{])")
_BEFORE = re.compile(r"[\w\s.,:;/|<>\[\]+=*%-]*")  # a name, a time stamp, a logger: nothing that could be code
_STAMP = re.compile(r"[\d\s.,:/TZ+-]*(?:[AP]M)?\s*(?:DEBUG|INFO|WARNING)?")
_NUMBERS = {"int", "int32", "int64", "float", "float32", "float64", "tensor", "array"}  # np.int64(0), as NumPy prints


def is_text(text: str) -> bool:
    """Whether `text` is meant as the text of a genotype, not as the name of a file."""
    return bool(_CALL.search(text) or _BRACKET.match(text))


def read(source) -> tuple[dict, dict]:
    """(cells, concat) of a genotype in one of the forms above, as `Genotype` takes them. Raises ValueError, with the
    place, for anything else."""
    if isinstance(source, str):
        source = _value(source)
    if hasattr(source, "_fields"):  # a namedtuple of other code
        source = {name: getattr(source, name) for name in source._fields}
    if isinstance(source, Mapping):
        return fields(source)
    if isinstance(source, list | tuple) and len(source) == 2:
        cells = {kind: _edges(kind, cell, compact=True) for kind, cell in zip(CELL_TYPES, source, strict=True)}
        states = {kind: {edge[1] for edge in edges} for kind, edges in cells.items()}
        return cells, {kind: sorted(states[kind]) for kind in cells}
    if isinstance(source, list | tuple) and len(source) in (4, 6):
        return fields(dict(zip(_FIELDS, source)))
    raise ValueError(f"genotype: {_shown(source)} is neither a dl.Genotype nor one of other code, such as {FORM}")


def fields(source: Mapping) -> tuple[dict, dict]:
    """(cells, concat) of a genotype given by its fields, such as normal and normal_concat. Raises ValueError where one
    is missing, not known, or does not list edges or states."""
    kinds = family({kind: None for kind in KNOWN_CELL_TYPES if kind in source}) or CELL_TYPES
    needed = [name for kind in kinds for name in (kind, concat_name(kind))]
    if missing := [name for name in needed if name not in source]:
        raise ValueError(f"genotype: {_shown(dict(source))} lacks {', '.join(missing)}")
    for name in source:
        if name not in needed and not (name in _FIELDS[4:] and source[name] is None):
            raise ValueError(f"genotype: field {_shown(name)} is not allowed; allowed: {', '.join(needed)}")
    cells = {kind: _edges(kind, source[kind]) for kind in kinds}
    concat = {}
    for kind in kinds:
        name = concat_name(kind)
        concat[kind] = [_whole(state, f"{name} must list states") for state in _items(source[name], name)]
        if _triples(source[kind]):
            reached = {edge[1] for edge in cells[kind]}
            concat[kind] = [state for state in concat[kind] if state in reached or state < inputs_of(kind)]
    return cells, concat


def _edges(kind: str, cell, compact: bool = False) -> list[tuple]:
    """The edges of a cell as (operation, source), or as (operation, state, source) where it lists triples or nodes."""
    inputs, triples = inputs_of(kind), _triples(cell)
    found: list[tuple] = []
    for index, item in enumerate(_items(cell, kind)):
        parts = _items(item, f"{kind}, edge {index}")
        if parts and not isinstance(parts[0], str | int) and not hasattr(parts[0], "__index__"):
            for number, edge in enumerate(parts):
                name, source = _pair(edge, f"{kind}, node {index}, edge {number}", compact)
                found.append((name, index + inputs, source))
        elif triples:
            found.append(_triple(parts, f"{kind}, edge {index}"))
        else:
            name, source = _pair(parts, f"{kind}, edge {index}", compact)
            found.append((name, index // inputs + inputs, source) if compact else (name, source))
    if len({len(edge) for edge in found}) > 1:
        raise ValueError(f"genotype: {kind} lists edges beside nodes; it must list one or the other")
    return _reached(kind, found, inputs) if triples else found


def _triples(cell) -> bool:
    """Whether a cell lists triples as FairDARTS does."""

    def is_triple(item) -> bool:
        parts = isinstance(item, list | tuple) and len(item) == 3
        return parts and isinstance(item[0], str) and hasattr(item[2], "__index__")

    return isinstance(cell, list | tuple) and any(map(is_triple, cell))


def _pair(parts, where: str, compact: bool) -> tuple[str, int]:
    """(operation, source)."""
    parts, needs = _items(parts, where), f"{where}: an edge must be ('operation', state)"
    if len(parts) == 3 and isinstance(parts[2], float):  # the weight of the operation
        parts = parts[:2]
    if len(parts) != 2:
        raise ValueError(f"genotype: {needs}, not {_shown(parts)}")
    if isinstance(parts[0], str):
        return parts[0], _whole(parts[1], needs)
    if isinstance(parts[1], str):
        return parts[1], _whole(parts[0], needs)
    source, number = (_whole(part, needs) for part in parts)
    if not compact:
        raise ValueError(f"genotype: {needs}, not {_shown(parts)}")
    if not 0 <= number < len(COMPACT):
        numbered = ", ".join(f"{index} {name}" for index, name in enumerate(COMPACT))
        raise ValueError(f"genotype: {where}: operation {_shown(number)} is not known; known: {numbered}")
    return COMPACT[number], source


def _triple(parts: list, where: str) -> tuple[str, int, int]:
    """(operation, state, source): edges lead to later states, so the larger number is where it leads."""
    needs = f"{where}: an edge beside triples must be ('operation', state, source)"
    if len(parts) != 3 or not isinstance(parts[0], str):
        raise ValueError(f"genotype: {needs}, not {_shown(parts)}")
    source, state = sorted(_whole(part, needs) for part in parts[1:])
    if source == state:
        raise ValueError(f"genotype: {needs}, not {_shown(parts)}, which leads nowhere")
    return parts[0], state, source


def _reached(kind: str, edges: list[tuple], inputs: int) -> list[tuple]:
    """The triples that come from an input or from a node with an edge, node by node."""
    states, kept = set(range(inputs)), []
    for edge in sorted(edges, key=operator.itemgetter(1)):
        if edge[2] in states:
            kept.append(edge)
            states.add(edge[1])
    if lost := {state for _, state, _ in edges} - states:
        raise ValueError(f"genotype: {kind}: all edges into state {min(lost)} come from nodes without an edge")
    return kept


def _items(value, where: str) -> list:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, list | tuple | range):
        raise ValueError(f"genotype: {where} must be a list, not {_shown(value)}")
    if len(value) > _LARGEST:
        raise ValueError(f"genotype: {where} lists {len(value)} things; at most {_LARGEST} are allowed")
    return list(value)


def _whole(value, needs: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"genotype: {needs}, not {_shown(value)}") from None


def _shown(value, most: int = 60) -> str:
    text = ascii(value) if isinstance(value, str) else " ".join(ascii(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


# ---------------------------------------------------------------- texts


def _value(text: str):
    """The fields of `Genotype(...)` in a text, or the value of its brackets. Raises ValueError with line and column."""
    if len(text) > _LONGEST_TEXT:
        raise _refusal(text, f"it is longer than {_LONGEST_TEXT} characters")
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as Python counts lines
    calls = list(_CALL.finditer(text))
    if len(calls) > 1:
        raise _refusal(text, f"it holds {len(calls)} genotypes; give one of them", calls[1].start())
    begin = calls[0].start() if calls else match.end() if (match := _BRACKET.match(text)) else None
    if begin is None:
        raise _refusal(text, "it holds no Genotype(", 0)
    if calls:
        _check_before(text, begin)
    try:
        tree = ast.parse(text[begin:].rstrip(), mode="eval").body
    except SyntaxError as error:
        place = begin + _offset(text[begin:], error.lineno or 1, max((error.offset or 1) - 1, 0))
        raise _refusal(text, str(error.msg), place) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise _refusal(text, f"it cannot be read ({type(error).__name__})") from None
    try:
        if isinstance(tree, ast.Tuple) and len(tree.elts) == 1 and isinstance(tree.elts[0], ast.Call):
            tree = tree.elts[0]  # a comma behind the last bracket
        return _call(tree) if calls else _plain(tree)
    except _Wrong as wrong:
        node = wrong.args[0]
        line = text[begin:].split("\n")[node.lineno - 1].encode()
        place = _offset(text[begin:], node.lineno, len(line[: node.col_offset].decode(errors="ignore")))
        raise _refusal(text, wrong.args[1], begin + place) from None
    except RecursionError:
        raise _refusal(text, "it is nested too deeply") from None


class _Wrong(Exception):
    """(node, what is wrong with it)."""


def _check_before(text: str, begin: int) -> None:
    """Raises ValueError where something other than comments, a name or the beginning of a line of a log stands before
    the genotype."""
    before = text[:begin].replace("\\\n", "  ")
    place = 0
    *lines, last = before.split("\n")
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            raise _refusal(text, "only comments may stand above the genotype", place)
        place += len(line) + 1
    last = last.rstrip()
    if last and not (_BEFORE.fullmatch(last) and (last[-1] in "=:|>-]." or _STAMP.fullmatch(last))):
        raise _refusal(text, "only a name or a time stamp may stand before the genotype", place)


def _call(node: ast.AST) -> dict:
    """The fields of `Genotype(...)`, by name or in the order of quark0/darts."""
    if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Genotype":
        raise _Wrong(node, "nothing but Genotype(...) may stand here")
    names = ("recurrent", concat_name(RECURRENT)) if len(node.args) == 2 and not node.keywords else _FIELDS
    if len(node.args) > len(names):
        raise _Wrong(node.args[len(names)], "a genotype has no further field")
    values = dict(zip(names, map(_plain, node.args)))
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in values:
            raise _Wrong(keyword.value, "every field must be given once, by its name")
        values[keyword.arg] = _plain(keyword.value)
    return values


def _plain(node: ast.AST | None):
    """The value of brackets, names in quotes, numbers, and ranges. Raises _Wrong for any other node."""
    if isinstance(node, ast.List | ast.Tuple):
        values = []
        for item in node.elts:
            value = _plain(item.value if isinstance(item, ast.Starred) else item)
            values += value if isinstance(item, ast.Starred) and isinstance(value, list) else [value]
        return values
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {_plain(key): _plain(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _plain(node.operand)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str) and re.fullmatch(r"\w{1,80}", value, re.ASCII):
            return value
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value <= _LARGEST):
            return value
        if isinstance(value, float):
            return value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        values = [_plain(argument) for argument in node.args]
        if name == "range" and 1 <= len(values) <= 3 and all(type(value) is int for value in values):
            if len(values) < 3 or values[2]:
                return list(range(*values))
        if name in ("list", "tuple") and len(values) == 1 and isinstance(values[0], list):
            return values[0]
        if name in _NUMBERS and len(values) == 1 and isinstance(values[0], int | float):
            return values[0]
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name | ast.Attribute):
        raise _Wrong(node, "a comma is missing behind it")
    raise _Wrong(node, "only names in quotes, numbers up to 999, lists, tuples and range may stand here")


def _offset(text: str, line: int, column: int) -> int:
    """The place of a line (from 1) and column (from 0) in a text."""
    lines = text.split("\n")
    return min(sum(len(before) + 1 for before in lines[: line - 1]) + column, len(text))


def _refusal(text: str, reason: str, place: int | None = None) -> ValueError:
    where = ""
    if place is not None:
        line, column = text.count("\n", 0, place) + 1, place - (text.rfind("\n", 0, place) + 1) + 1
        near = _shown(text[place : place + 25]) if text[place : place + 25].strip() else "its end"
        where = f"line {line}, column {column}, at {near}: "
    return ValueError(f"genotype: {_shown(text)} does not have the form {FORM}; {where}{reason[:100]}")
