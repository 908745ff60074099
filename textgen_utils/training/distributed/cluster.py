"""Who works together: the addresses of all workers, as TensorFlow wants to be told."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

HERE = "127.0.0.1"
ADDRESS = re.compile(r"[A-Za-z0-9._-]+:(\d{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers of one training; the first is the *chief*, who validates and writes.

    Args:
        addresses: "host:port" of each worker, the same list in the same order on every machine.

    Raises:
        ValueError: if there is no address, one is not host:port, or one is there twice.
    """

    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("a cluster needs at least one address host:port, got none")
        for address in self.addresses:
            match = ADDRESS.fullmatch(address)
            if not match or not 0 < int(match[1]) < 2**16:
                raise ValueError(f"an address must be host:port, got {address!r}")
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError(f"an address is there twice: {', '.join(self.addresses)}")

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def hosts(self) -> list[str]:
        """The hosts without their ports, in the order of the workers."""
        return [address.rpartition(":")[0] for address in self.addresses]

    def tf_config(self, index: int) -> str:
        """Return the value of the environment variable TF_CONFIG for one worker.

        Raises:
            ValueError: if there is no worker of this index.
        """
        if not 0 <= index < len(self):
            raise ValueError(f"index must be from 0 to {len(self) - 1}, got {index}")
        task = {"type": "worker", "index": index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})

    @classmethod
    @contextmanager
    def on_this_machine(cls, workers: int) -> Iterator[Cluster]:
        """Give a cluster of processes on this machine, whose ports are kept for it.

        While the context is open a socket is bound to each port, so that nobody else is given
        it; the workers may bind to it too (`TF_GRPC_REUSE_PORT`), and they alone listen.

        Raises:
            ValueError: if the number is below 1.
        """
        if workers < 1:
            raise ValueError(f"a cluster needs at least one worker, got {workers}")
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
            for bound in sockets:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                bound.bind((HERE, 0))
            yield cls(tuple(f"{HERE}:{bound.getsockname()[1]}" for bound in sockets))
