"""Apps: finds the `Interlock` object that `module:attribute` names."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock_server.app import Interlock

_ATTRIBUTE_DEFAULT = "app"


class AppProblem(Exception):
    """There is no app to serve; the text says why and what to do."""


def load_app(spec: str) -> Interlock:
    """The app that a specification names.

    Args:
        spec: `module`, `module:attribute`, `path/to/file.py` or `path/to/file.py:attribute`;
            the attribute is `app` when it is left out. Modules of the current folder are found.

    Raises:
        AppProblem: it cannot be found or imported, or is something else.
    """
    place, attribute = _split(spec)
    module = _module_at(Path(place)) if _is_path(place) else _module_named(place)
    return _app_in(module, place, attribute)


def _split(spec: str) -> tuple[str, str]:
    place, colon, attribute = spec.rpartition(":")
    if not colon or not attribute.replace(".", "").isidentifier():
        return spec.removesuffix(":"), _ATTRIBUTE_DEFAULT
    return place, attribute


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _module_at(path: Path) -> ModuleType:
    """The module in a file, under the name it has for others that import it."""
    path = path.resolve()
    if not path.is_file():
        raise AppProblem(f"there is no file {str(path)!r}")
    parts = [] if path.stem == "__init__" else [path.stem]
    root = path.parent
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    module = _imported(name, root)
    if Path(module.__file__ or "").resolve() != path:
        raise AppProblem(
            f"{str(path)!r} would be the module {name!r}, but that is "
            f"{module.__file__ or 'a part of Python'!r}; rename the file"
        )
    return module


def _module_named(name: str) -> ModuleType:
    return _imported(name, Path.cwd())


def _imported(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise AppProblem(
                f"there is no module {error.name!r}; looked in {str(folder)!r} and in what is "
                "installed. Give module:attribute or path/to/file.py:attribute"
            ) from None
        raise AppProblem(_failed(name, error)) from error
    except (Exception, SystemExit) as error:
        raise AppProblem(_failed(name, error)) from error


def _failed(name: str, error: BaseException) -> str:
    """What went wrong in an author's module, and where."""
    from interlock_server.authoring.compile import DefinitionError

    if isinstance(error, DefinitionError):
        return f"the app in {name!r} cannot be served: {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "importlib" not in one.filename and one.filename != __file__]
    where = f" ({ours[-1].filename}, line {ours[-1].lineno})" if ours else ""
    return f"importing {name!r} failed: {type(error).__name__}: {error}{where}"


def _app_in(module: ModuleType, place: str, attribute: str) -> Interlock:
    from interlock_server.app import Interlock

    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AppProblem(_missing(module, place, attribute))
        found = getattr(found, part)
    if not isinstance(found, Interlock):
        raise AppProblem(
            f"{place}:{attribute} is of type {type(found).__name__}, not an Interlock; "
            "make one of your workflows: app = Interlock([workflow])"
        )
    return found


def _missing(module: ModuleType, place: str, attribute: str) -> str:
    from interlock_server.app import Interlock

    apps = [name for name, value in vars(module).items() if isinstance(value, Interlock)]
    if not apps:
        return (
            f"{place!r} has no {attribute!r}, and no other Interlock either; "
            "add one: app = Interlock([workflow])"
        )
    listing = ", ".join(f"{place}:{name}" for name in apps)
    return f"{place!r} has no {attribute!r}; it has: {listing}"
