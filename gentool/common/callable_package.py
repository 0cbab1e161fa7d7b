"""Make a package callable, as the public function of its name.

`gentool.sharpness` is a package and a public function. Importing any module of the package sets the
package as an attribute of `gentool`, over a function of that name. So the package is called itself;
the documented way is a class of its own (Python's data model, "Customizing module attribute
access"). The function is imported at the first call.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature


def make_callable(package: str, home: str) -> None:
    """Make an imported package callable: as the function of its last name in the module `home`."""
    module = sys.modules[package]
    module._home = home
    module.__class__ = _CallablePackage


class _CallablePackage(ModuleType):
    """Call the function of the package's last name; signature and docstring are the function's."""

    _home: str

    def _function(self) -> Callable[..., Any]:
        return getattr(import_module(self._home), self.__name__.rpartition(".")[2])

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - of the function
        return self._function()(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Pickle by name, as functions are, so that worker processes can be handed it."""
        return import_module, (self.__name__,)

    @property
    def __signature__(self) -> "Signature":
        from inspect import signature

        return signature(self._function())

    @property
    def __doc__(self) -> str | None:
        return self._function().__doc__
