# SPDX-License-Identifier: MIT
"""What may be done with a method: is it known that doing it twice is the same as once?

Who writes the call may say so with a hint for the method, and who wrote the ``.proto`` with
``option idempotency_level``. Nothing else counts; a name that begins with ``Get`` does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from resonance.errors import PolicyError
from resonance.policies import NO_HINT, TaskHint

__all__ = ["check_names", "hint_of"]


def hint_of(path: str, methods: Mapping[str, TaskHint]) -> TaskHint:
    """Return what is known about a method.

    Parameters
    ----------
    path : str
        ``/package.Service/Method``.
    methods : mapping of str to TaskHint
        By path, or by the method's name alone; the path goes first.

    Returns
    -------
    TaskHint
        That of the caller, completed by what the ``.proto`` says.
    """
    hint = methods.get(path) or methods.get(path.rpartition("/")[2]) or NO_HINT
    if hint.idempotent is None and _is_declared_idempotent(path):
        return hint.replace(idempotent=True)
    return hint


def check_names(methods: Mapping[str, TaskHint], paths: Iterable[str]) -> None:
    """Refuse hints for methods that do not exist: they would be lost without a word.

    Parameters
    ----------
    methods : mapping of str to TaskHint
    paths : iterable of str
        Of all methods there are.

    Raises
    ------
    PolicyError
        With the names that would have been right.
    """
    paths = sorted(paths)
    names = {path.rpartition("/")[2] for path in paths}
    for told in methods:
        if told not in names and told not in paths:
            known = ", ".join(sorted(names))
            raise PolicyError(f"methods[{told!r}]", f"is no method; there are {known}")


def _is_declared_idempotent(path: str) -> bool:
    """Tell what the ``.proto`` says, where the generated module has been imported."""
    name = path.removeprefix("/").replace("/", ".")
    try:
        method = descriptor_pool.Default().FindMethodByName(name)
    except KeyError:
        return False
    options = method.GetOptions()
    return options.idempotency_level in {
        MethodOptions.IDEMPOTENT,
        MethodOptions.NO_SIDE_EFFECTS,
    }
