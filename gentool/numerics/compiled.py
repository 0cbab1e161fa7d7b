"""Call torch.compile, and report a failure in one line."""

from collections.abc import Callable
from functools import wraps

import torch

from gentool.common.errors import GentoolError


def compiled(function: Callable) -> Callable:
    """Return the same function, compiled at its first call and again for other kinds of shapes.

    The call raises GentoolError if compilation fails, for example without a C++ compiler.
    """
    from torch._dynamo.exc import TorchDynamoException  # takes a second to import

    torch.compiler.reset()  # else torch refuses the ninth network with the same code
    compiled_function = torch.compile(function)

    @wraps(function)
    def call(*arguments: object) -> object:
        try:
            return compiled_function(*arguments)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise GentoolError(f"torch.compile failed: {reason}; go on without it") from error

    return call
