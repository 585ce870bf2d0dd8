"""Public names say what they take, in which shape, and what they raise.

ruff's rules see that a docstring is there and begins with a sentence. They do not ask for an `Args` section where there
is none, know no constructor's parameters, and look at no shape: that is done here.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import medsegdist.transforms
import pytest
from docstring_parser import DocstringStyle, parse
from monai.transforms import MapTransform
from pydantic import BaseModel

import medsegdist
from medsegdist import errors
from medsegdist.distance.metrics import mask_metric

# What README and CONTRIBUTING send their readers to.
NAMED_MODULES = (
    "medsegdist.data.layouts.folder",
    "medsegdist.data.manifest",
    "medsegdist.data.study",
    "medsegdist.data.options",
    "medsegdist.distance.metrics.mask_metric",
    "medsegdist.transfer.networks",
    "medsegdist.transfer.scores.compute",
    "medsegdist.transfer.scores.transferability",
)

# Their methods are those of every mask metric, which need not say again what they take.
PROTOCOLS = (mask_metric.MaskMetric, mask_metric.ResamplingMetric)

SHAPE = re.compile(r"\([^()]+,[^()]*\)")  # (n,) or (n, *grid)
TENSORS = ("Tensor", "ndarray", "NDArray", "NdarrayOrTensor")


def public_of(package: ModuleType) -> dict[str, Any]:
    return {name: getattr(package, name) for name in package.__all__ if not name.startswith("__")}


def defined_in(module: str) -> dict[str, Any]:
    return {
        f"{module}.{name}": thing
        for name, thing in vars(import_module(module)).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module
    }


def methods_of(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__call__"):
            yield name, function


def everything() -> dict[str, Any]:
    """The things whose every word counts, by name, with the methods of classes after them."""
    things: dict[Any, str] = {}
    for some in (public_of(medsegdist), public_of(medsegdist.transforms), *map(defined_in, NAMED_MODULES)):
        for name, thing in some.items():
            things.setdefault(thing, name)
    found = {}
    for thing, name in things.items():
        found[name] = thing
        if inspect.isclass(thing):
            found |= {f"{name}.{method}": function for method, function in methods_of(thing)}
    return found


EVERYTHING = everything()


def docstrings(thing: Any) -> list[str]:
    """That of a thing; of a class, with those of the classes of ours that it extends."""
    if not inspect.isclass(thing):
        return [inspect.getdoc(thing) or ""]
    ours = [kind for kind in thing.__mro__ if kind.__module__.startswith("medsegdist")]
    return [inspect.cleandoc(kind.__doc__ or "") for kind in ours]


def array_version(thing: Any) -> dict[str, str]:
    """What a dictionary transform need not say: what MONAI and its array version say."""
    if not (inspect.isclass(thing) and issubclass(thing, MapTransform)):
        return {}
    array_class = getattr(medsegdist.transforms, thing.__name__.removesuffix("d"))
    assert f":class:`{array_class.__name__}`" in (thing.__doc__ or "")
    return {"keys": "MapTransform", "allow_missing_keys": "MapTransform"} | documented(array_class)


def documented(thing: Any) -> dict[str, str]:
    """What `Args` says of each parameter."""
    said = (parse(text, DocstringStyle.GOOGLE).params for text in docstrings(thing))
    return {one.arg_name.lstrip("*"): one.description or "" for params in said for one in params}


def raised_by_name(thing: Any) -> set[str]:
    return {one.type_name or "" for text in docstrings(thing) for one in parse(text, DocstringStyle.GOOGLE).raises}


def parameters(thing: Any) -> dict[str, str]:
    """The parameters that a caller gives, with their annotations as they are written."""
    if inspect.isclass(thing):
        ours = [kind for kind in thing.__mro__ if kind.__module__.startswith("medsegdist")]
        takes_none = issubclass(thing, BaseException) and not any("__init__" in vars(kind) for kind in ours)
        if takes_none or getattr(thing, "_is_protocol", False):
            return {}
        if issubclass(thing, BaseModel):
            # The `kind` of an option has one value, by which YAML tells it from others.
            fields = thing.model_fields.items()
            return {name: str(field.annotation) for name, field in fields if not is_tag(field.annotation)}
    signature = inspect.signature(thing)
    found = {name: str(one.annotation) for name, one in signature.parameters.items()}
    return {name: kind for name, kind in found.items() if name not in ("self", "cls")}


def is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def owner(name: str) -> Any:
    return EVERYTHING.get(name.rpartition(".")[0])


def from_protocol(name: str) -> dict[str, str]:
    """What the protocols of mask metrics say of a method's parameters."""
    kind, method = owner(name), name.rpartition(".")[2]
    if not inspect.isclass(kind) or "distance.metrics" not in kind.__module__:
        return {}
    return {
        parameter: text
        for protocol in PROTOCOLS
        if hasattr(protocol, method)
        for parameter, text in documented(getattr(protocol, method)).items()
    }


def is_member(name: str) -> bool:
    return inspect.isclass(owner(name))


def is_tensor(annotation: str) -> bool:
    holds_others = ("Callable", "Mapping")  # which have no shape of their own
    return any(kind in annotation for kind in TENSORS) and not any(kind in annotation for kind in holds_others)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_parameter_is_documented(name: str) -> None:
    thing = EVERYTHING[name]
    said = documented(thing) | from_protocol(name) | array_version(thing)
    text = "".join(docstrings(thing))
    # A method of one line may name its parameter there: "The samples at `indices`, in that order."
    in_a_line = is_member(name) or name.startswith(NAMED_MODULES)
    missing = [one for one in parameters(thing) if one not in said and not (in_a_line and f"`{one}`" in text)]
    assert missing == [], f"{name} does not say what {', '.join(missing)} is"
    empty = [one for one, description in documented(thing).items() if not description.strip()]
    assert empty == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_is_documented_that_is_no_parameter(name: str) -> None:
    thing = EVERYTHING[name]
    unknown = set(documented(thing)) - {*parameters(thing), *getattr(thing, "model_fields", ())}
    assert unknown == set(), f"{name} takes no {', '.join(unknown)}"


@pytest.mark.parametrize("name", EVERYTHING)
def test_arrays_are_documented_with_their_shape(name: str) -> None:
    thing = EVERYTHING[name]
    said = documented(thing)
    for parameter, annotation in parameters(thing).items():
        if is_tensor(annotation) and parameter in said:
            assert SHAPE.search(said[parameter]), (
                f"{name}: '{parameter}' is said to be '{said[parameter]}', of which shape?"
            )
    if inspect.isfunction(thing):
        returned = str(thing.__annotations__.get("return", ""))
        if returned in TENSORS:
            assert SHAPE.search("".join(docstrings(thing))), f"{name} returns an array of which shape?"


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_is_raised_on_purpose_is_documented(name: str) -> None:
    thing = EVERYTHING[name]
    if inspect.isclass(thing):
        # What a validator of pydantic raises becomes a ValidationError, and a ManifestError where a file is read.
        theirs = issubclass(thing, BaseModel) or getattr(thing, "_is_protocol", False)
        constructors = () if theirs else ("__init__", "__post_init__")
        functions = [vars(thing)[one] for one in constructors if one in vars(thing)]
    else:
        functions = [thing]
    said = raised_by_name(thing) | (raised_by_name(owner(name)) if is_member(name) else set())
    for function in functions:
        missing = raised_in(function) - said
        assert missing == set(), f"{name} raises {', '.join(missing)}, and does not say so"


def raised_in(function: Callable[..., Any]) -> set[str]:
    """Errors by name that stand in `raise` in the body of a function itself."""
    if function.__code__.co_filename == "<string>":  # written by dataclass
        return set()
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    names = {ast.unparse(exc.func) for exc in raised if isinstance(exc, ast.Call)}
    return {name for name in names if hasattr(errors, name) or hasattr(builtins, name)}


def test_the_modules_that_readers_are_sent_to_are_there() -> None:
    assert all(defined_in(module) for module in NAMED_MODULES)
    package = import_module("medsegdist.transfer.scores")
    scores = {f"{package.__name__}.{one.name}" for one in pkgutil.iter_modules(package.__path__)}
    assert scores <= set(NAMED_MODULES)
