"""One process of several that listen on one port: the product, or a floor.

    python -m bench.worker PORT                               the product, with its settings in the environment
    python -m bench.worker PORT STATEMENTS DSN [audited]      a floor

The kernel gives each connection to one of them (SO_REUSEPORT). An operator of the product starts several `zlaq serve`
on ports of their own behind a balancer; here there is none, so that none is measured.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import uvicorn

from bench.floors import Floor
from server import observe
from server.commands.serve import run
from server.settings import Settings


def listen(port: int) -> socket.socket:
    """A listening socket that other processes may open beside this one."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(2048)
    return listening


def main() -> None:
    """Serve until SIGTERM."""
    match sys.argv[1:]:
        case [port]:
            settings = Settings.from_environment(os.environ)
            observe.configure(settings.log_level)
            run(settings, listen(int(port)))
        case [port, statements, dsn, *audited]:
            floor = Floor(dsn, Path(statements).read_bytes(), audited=audited == ["audited"])
            config = uvicorn.Config(
                floor, loop="uvloop", http="httptools", access_log=False, log_level="warning", server_header=False
            )
            uvicorn.Server(config).run(sockets=[listen(int(port))])
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
