# SPDX-License-Identifier: MIT
"""How is each server started, and what does it need to be there?

Each of these returns the command that serves on a port with an amount of work for each request.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError

__all__ = ["grpc", "nginx", "uvicorn"]

_ADMINISTRATORS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Not in the PATH of everybody, and where distributions have nginx."""
_CONFIGURATION: Final = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{
  worker_connections 8192;
}}
http {{
  access_log off;
  client_body_temp_path body;
  fastcgi_temp_path fastcgi;
  proxy_temp_path proxy;
  scgi_temp_path scgi;
  uwsgi_temp_path uwsgi;
  # A client would take the end of a connection for that of the replica.
  client_header_timeout 1d;
  keepalive_timeout 1d;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    root .;
    default_type text/html;
    output_buffers 1 1m;
    gzip on;
    gzip_comp_level 9;
  }}
}}
"""
_WORDS: Final = tuple(f"{619 * place % 4093:x}"[: 1 + place % 3] for place in range(1, 17))
_MULTIPLIER: Final = 1_103_515_245
_INCREMENT: Final = 12_345
_MASK: Final = 2**31 - 1
"""Of `rand` in the C standard (ISO 9899:1990, 7.10.2.2), so that the text is always the same."""


def uvicorn(port: int, amount: int, directory: Path) -> list[str]:  # noqa: ARG001
    """Return the command of uvicorn.

    Parameters
    ----------
    port : int
    amount : int
        Rounds of a hash.
    directory : Path
        Of its own files; it has none.

    Returns
    -------
    list of str

    Raises
    ------
    ExperimentError
        It is not installed.
    """
    for library in ("uvicorn", "httptools"):
        if find_spec(library) is None:
            raise ExperimentError(
                "starting uvicorn", f"{library} is not installed: pip install uvicorn httptools"
            )
    return _script("serving_uvicorn", port, amount)


def grpc(port: int, amount: int, directory: Path) -> list[str]:  # noqa: ARG001
    """Return the command of a server of grpcio.

    Parameters
    ----------
    port : int
    amount : int
        Rounds of a hash.
    directory : Path
        Of its own files; it has none.

    Returns
    -------
    list of str
    """
    return _script("serving_grpc", port, amount)


def _script(name: str, port: int, amount: int) -> list[str]:
    script = Path(__file__).with_name(f"{name}.py")
    return [sys.executable, "-P", str(script), str(port), str(amount)]


def nginx(port: int, amount: int, directory: Path) -> list[str]:
    """Return the command of nginx, whose work is to compress a file again for each request.

    It is one process that does what a worker does: a worker lives on when its master is killed,
    and then nothing would end it with the experiment.

    Parameters
    ----------
    port : int
    amount : int
        Bytes of the file.
    directory : Path
        Of its own files: the configuration, the file, and what it needs to have.

    Returns
    -------
    list of str

    Raises
    ------
    ExperimentError
        It is not installed.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_ADMINISTRATORS}")
    if found is None:
        raise ExperimentError("starting nginx", "it is not installed: apt-get install nginx")
    directory.mkdir()
    (directory / "nginx.conf").write_text(_CONFIGURATION.format(port=port))
    (directory / "work").write_bytes(_text(amount))
    return [found, "-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr"]


def _text(length_bytes: int) -> bytes:
    """Return a text that is much work to compress and short when that is done."""
    state = 1
    words: list[str] = []
    for _ in range(length_bytes // 2 + 1):
        state = (state * _MULTIPLIER + _INCREMENT) & _MASK
        words.append(_WORDS[(state >> 16) % len(_WORDS)])
    return " ".join(words).encode()[:length_bytes]
