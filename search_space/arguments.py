"""Arguments of the public functions: of the types that they are annotated with, or one line that says what is wrong."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from bankwise.search_space.strict import typed

F = TypeVar("F", bound=Callable[..., Any])


def typed_arguments(*names: str) -> Callable[[F], F]:
    """A decorator of a function: before it runs, its arguments of these names are `strict.typed` by its annotations.

    Arguments that the function judges itself, such as a network or a budget in text, are not among them.

    >>> @typed_arguments("times")
    ... def again(word: object, times: int = 1) -> str:
    ...     return str(word) * times
    >>> again("a", 2)
    'aa'
    >>> again("a", "b")
    Traceback (most recent call last):
    ...
    bankwise.search_space.errors.BankwiseError: times: 'b' is not a whole number
    """

    def decorated(function: F) -> F:
        signature = inspect.signature(function)
        assert set(names) <= set(signature.parameters), (function, names)

        @functools.cache
        def hints() -> dict[str, Any]:
            return typing.get_type_hints(function)

        @functools.wraps(function)
        def called(*positional: Any, **named: Any) -> Any:
            bound = signature.bind(*positional, **named)
            for name in names:
                if name in bound.arguments:
                    bound.arguments[name] = typed(hints()[name], bound.arguments[name], name)
            return function(*bound.args, **bound.kwargs)

        return typing.cast(F, called)

    return decorated
