"""torch.compile, whose failures are told in one line."""

from collections.abc import Callable
from functools import wraps

import torch

from gentool.common.errors import GentoolError


def compiled(function: Callable) -> Callable:
    """The same function, compiled when it is first called and for each new kind of shapes.

    The call raises GentoolError where it cannot be compiled, as without a C++ compiler.
    """
    from torch._dynamo.exc import TorchDynamoException  # takes a second to import

    torch.compiler.reset()  # else the ninth network that shares its code would not be compiled
    fast = torch.compile(function)

    @wraps(function)
    def call(*given: object) -> object:
        try:
            return fast(*given)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise GentoolError(f"torch.compile failed: {reason}; go on without it") from error

    return call
