"""A real MQTT broker in a process of its own: amqtt from PyPI, or mosquitto where the machine has it."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "meters", "only for tests"

PROGRAM = """
import asyncio, sys
from pathlib import Path
from amqtt.broker import Broker
from pwdlib.hashers.argon2 import Argon2Hasher

async def main(port, folder, user, password):
    users = Path(folder, "users")
    users.write_text(f"{user}:{Argon2Hasher().hash(password)}\\n")
    plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(users)}}
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
"""

PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin"
KINDS = ["amqtt", *(["mosquitto"] if shutil.which("mosquitto", path=PLACES) else [])]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mosquitto(port: int, folder: Path) -> list[str]:
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nmax_queued_messages 0\n",
        encoding="utf-8",
    )
    return [shutil.which("mosquitto", path=PLACES) or "mosquitto", "-c", str(config)]


@contextmanager
def running_broker(kind: str, port: int, folder: Path) -> Iterator[None]:
    """Start a broker and stop it in the end; it is there when the block begins."""
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(port), str(folder), USER, PASSWORD]
    if kind == "mosquitto":
        words = _mosquitto(port, folder)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    ) as process:
        try:
            if not any(line.startswith("ready") or "running" in line for line in process.stdout):
                raise RuntimeError(f"{kind} did not start")
            yield
        finally:
            process.send_signal(signal.SIGKILL)
