# SPDX-License-Identifier: MIT
"""What can be missing."""

from __future__ import annotations

__all__ = ["MissingExtraError"]


class MissingExtraError(ImportError):
    """Something was asked for that the base installation does not bring.

    Parameters
    ----------
    what : str
        What was asked for.
    package : str
        What is not installed.
    extra : str
        Which extra brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what = what
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs {self.package}, which is not installed: "
            f"pip install 'resonance-runtime[{self.extra}]'"
        )
