"""The app that `interlock serve` is told to serve, and what is said when there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock_server.cli.apps import AppProblem, load_app

APP = """
from interlock_server import Interlock, Step, Workflow

def echo(step_input):
    return step_input.input

app = Interlock([Workflow(name="Echo", steps=[Step(name="echo", executor=echo)])])
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(path: Path, text: str = APP) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problem_of(spec: str) -> str:
    with pytest.raises(AppProblem) as caught:
        load_app(spec)
    return str(caught.value)


@pytest.mark.parametrize(
    "spec", ["shop_a:app", "shop_a", "shop_a.py:app", "./shop_a.py", "shop_a:"]
)
def test_modules_and_paths(here: Path, spec: str) -> None:
    write(here / "shop_a.py")
    assert load_app(spec).workflow_names == ("Echo",)


def test_a_path_from_elsewhere(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(tmp_path_factory.mktemp("far") / "shop_b.py", f"import helper_b\n{APP}")
    write(path.with_name("helper_b.py"), "")
    assert load_app(f"{path}:app").workflow_names == ("Echo",)


def test_a_file_of_a_package_is_the_module_that_others_import(here: Path) -> None:
    for name in ("__init__.py", "inner/__init__.py", "inner/helper.py"):
        write(here / "pack_c" / name, "")
    write(here / "pack_c/inner/shop.py", f"from . import helper\n{APP}")
    assert load_app("pack_c/inner/shop.py") is load_app("pack_c.inner.shop:app")


def test_an_attribute_of_an_attribute(here: Path) -> None:
    write(here / "shop_d.py", f"{APP}\nclass Holder:\n    inside = app\n")
    assert load_app("shop_d:Holder.inside").workflow_names == ("Echo",)


def test_no_module(here: Path) -> None:
    problem = problem_of("no_such_module:app")
    assert problem.startswith("there is no module 'no_such_module'; looked in ")
    assert str(here) in problem
    assert "path/to/file.py:attribute" in problem
    write(here / "pack_e" / "__init__.py", "")
    assert problem_of("pack_e.inner").startswith("there is no module 'pack_e.inner'")


def test_no_file(here: Path) -> None:
    assert problem_of("nowhere/app.py:app") == f"there is no file {str(here / 'nowhere/app.py')!r}"


def test_a_file_with_the_name_of_another_module(here: Path) -> None:
    write(here / "json.py")
    assert "would be the module 'json', but that is" in problem_of("json.py")
    assert "rename the file" in problem_of("json.py")


def test_a_module_that_needs_what_is_not_installed(here: Path) -> None:
    path = write(here / "shop_f.py", "import not_installed_anywhere\n")
    problem = problem_of("shop_f")
    assert "importing 'shop_f' failed" in problem
    assert "No module named 'not_installed_anywhere'" in problem
    assert f"({path}, line 1)" in problem


def test_a_module_that_raises(here: Path) -> None:
    path = write(here / "shop_g.py", "\n\n1 / 0\n")
    problem = problem_of("shop_g:app")
    assert problem == (
        f"importing 'shop_g' failed: ZeroDivisionError: division by zero ({path}, line 3)"
    )
    write(here / "shop_h.py", "raise SystemExit('bye')\n")
    assert "SystemExit: bye" in problem_of("shop_h")


def test_a_module_that_is_no_python(here: Path) -> None:
    path = write(here / "shop_i.py", "x = 1\ndef (:\n")
    assert problem_of("shop_i").startswith(f"{path}, line 2: ")


def test_no_attribute(here: Path) -> None:
    write(here / "shop_j.py", APP.replace("app =", "service ="))
    assert problem_of("shop_j") == "'shop_j' has no 'app'; it has: shop_j:service"
    write(here / "shop_k.py", "x = 1\n")
    assert "has no 'app', and no other Interlock either" in problem_of("shop_k.py")


def test_something_else(here: Path) -> None:
    write(here / "shop_l.py", "app = [1]\n")
    problem = problem_of("shop_l:app")
    assert problem.startswith("shop_l:app is of type list, not an Interlock")
    assert "app = Interlock([workflow])" in problem


def test_definitions_with_mistakes_are_listed(here: Path) -> None:
    mistakes = "steps=[Step(name='a', executor=echo, max_retries=-1), Step(name='a')]"
    write(here / "shop_m.py", APP.replace('steps=[Step(name="echo", executor=echo)]', mistakes))
    problem = problem_of("shop_m")
    assert "mistakes in the definitions:" in problem
    assert "max_retries is -1" in problem
    assert problem.count("\n  - ") >= 2
