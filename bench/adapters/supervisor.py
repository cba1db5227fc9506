"""Supervisor and everything that takes its configuration file."""
from __future__ import annotations

import http.client
import os
import shlex
import socket
from pathlib import Path

from .base import PEERS, Adapter, Program, first_existing, which

STATUS_BODY = (b"<?xml version='1.0'?><methodCall><methodName>supervisor.getAllProcessInfo"
               b"</methodName><params></params></methodCall>")
LIST_CALL = b'{"method":"io.sdsuper.Control.List","parameters":{}}\0'


class UnixHTTPConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class SupervisorAdapter(Adapter):
    name = "supervisor"
    features = frozenset({"log", "api", "reload", "events", "xml"})
    notes = "startsecs=0, autorestart=true, no backoff from RUNNING; minfds = 3N + 1024"
    startsecs = 0
    listener_buffer: int | None = None      # None: the default of the manager

    # -- where it is ------------------------------------------------------
    @classmethod
    def bin(cls) -> Path | None:
        return first_existing(os.environ.get("BENCH_SUPERVISOR"), PEERS / "venv/bin/supervisord", which("supervisord"))

    @classmethod
    def version(cls) -> str | None:
        import subprocess
        b = cls.bin()
        if not b:
            return None
        return subprocess.run([b, "--version"], capture_output=True, text=True).stdout.strip()

    @classmethod
    def install_paths(cls) -> list[Path]:
        root = cls.bin().parent.parent
        return list(root.glob("lib/python3*/site-packages/supervisor*"))

    def argv(self) -> list[str]:
        return [str(self.bin()), "-n", "-c", str(self.conf)]

    def ctl(self, *words: str) -> list[str]:
        return [str(self.bin().with_name("supervisorctl")), "-c", str(self.conf), *words]

    # -- configuration ------------------------------------------------------
    @property
    def conf(self) -> Path:
        return self.work / "s.conf"

    @property
    def socket_path(self) -> Path:
        return self.work / "s.sock"

    def extra_supervisord(self, n: int) -> str:
        return f"minfds={3 * n + 1024}\n"

    def configure(self, programs: list[Program]) -> None:
        out = [f"""[supervisord]
nodaemon=true
logfile={self.work}/supervisord.log
pidfile={self.work}/supervisord.pid
childlogdir={self.work}
{self.extra_supervisord(len(programs))}
[unix_http_server]
file={self.socket_path}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.socket_path}
"""]
        if self.listener:
            out.append(f"[eventlistener:listener]\ncommand={shlex.join(self.listener)}\n"
                       f"events=PROCESS_STATE\n")
            if self.listener_buffer:
                out.append(f"buffer_size={self.listener_buffer}\n")
        for p in programs:
            out.append(f"[program:{p.name}]\ncommand={self.child} {p.arg}\n"
                       f"autostart=true\nautorestart=true\nstartsecs={self.startsecs}\n")
            if p.logfile:
                out.append(f"redirect_stderr=true\nstdout_logfile={p.logfile}\n"
                           f"stdout_logfile_maxbytes={self.log.maxbytes}\n"
                           f"stdout_logfile_backups={self.log.backups}\n")
            else:
                out.append("stdout_logfile=NONE\nstderr_logfile=NONE\n")
        self.conf.write_text("".join(out))

    # -- use ----------------------------------------------------------------
    _conn: UnixHTTPConnection | None = None
    reconnects = 0

    def rpc(self, body: bytes) -> bytes:
        """One XML-RPC call on a kept connection (reconnecting where the server
        closes it; counted)."""
        for attempt in (1, 2):
            if self._conn is None:
                self._conn = UnixHTTPConnection(str(self.socket_path), 120)
                self.reconnects += 1
            try:
                self._conn.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
                r = self._conn.getresponse()
                data = r.read()
                if r.will_close:
                    self._conn.close()
                    self._conn = None
                if r.status != 200:
                    raise RuntimeError(f"HTTP {r.status}")
                return data
            except (OSError, http.client.HTTPException):
                self._conn.close()
                self._conn = None
                if attempt == 2:
                    raise
        raise AssertionError

    def xml_status(self) -> int:
        data = self.rpc(STATUS_BODY)
        n = data.count(b"<name>statename</name>")
        if n == 0:
            raise RuntimeError(data[:200])
        return n

    def api_status(self) -> int:
        return self.xml_status()

    def close(self) -> None:
        if self._conn:
            self._conn.close()
            self._conn = None

    def cli_status(self) -> list[str]:
        return self.ctl("status")

    def cli_help(self) -> list[str]:
        return self.ctl("version")

    def restart_one(self, program: Program) -> None:
        self.run(self.ctl("restart", program.name))

    def reload(self, old: list[Program], new: list[Program]) -> None:
        self.configure(new)
        self.run(self.ctl("update"))


class GoSupervisordAdapter(SupervisorAdapter):
    name = "go-supervisord"
    notes = "startsecs=0, autorestart=true"

    @classmethod
    def bin(cls) -> Path | None:
        return first_existing(os.environ.get("BENCH_GO_SUPERVISORD"), PEERS / "bin/go-supervisord")

    @classmethod
    def version(cls) -> str | None:
        import subprocess
        b = cls.bin()
        if not b:
            return None
        return subprocess.run([b, "version"], capture_output=True, text=True).stdout.split("\n")[0].strip() or "?"

    @classmethod
    def install_paths(cls) -> list[Path]:
        return [cls.bin()]

    def argv(self) -> list[str]:
        return [str(self.bin()), "-c", str(self.conf)]

    def ctl(self, *words: str) -> list[str]:
        return [str(self.bin()), "ctl", "-c", str(self.conf), *words]

    def reload(self, old: list[Program], new: list[Program]) -> None:
        self.configure(new)
        self.run(self.ctl("reload"))      # it has no `update`


class SdsuperAdapter(SupervisorAdapter):
    """sdsuper: `sdsuper -n -c CONF`, `sdsuper ctl -c CONF status`; its API is the control socket.

    BENCH_SDSUPER is the command (default `sdsuper` from PATH; may have several
    words, for example `python3 -m sdsuper`)."""
    name = "sdsuper"
    features = frozenset({"log", "api", "reload", "events", "xml"})
    notes = "startsecs=0, autorestart=true; API: the control socket"

    @classmethod
    def command(cls) -> list[str]:
        return shlex.split(os.environ.get("BENCH_SDSUPER", "sdsuper"))

    @classmethod
    def version(cls) -> str | None:
        import subprocess
        try:
            return subprocess.run([*cls.command(), "--version"], capture_output=True,
                                  text=True, timeout=20).stdout.strip() or None
        except OSError:
            return None

    @classmethod
    def install_paths(cls) -> list[Path]:
        p = os.environ.get("BENCH_SDSUPER_PATH")
        return [Path(p)] if p else []

    def extra_supervisord(self, n: int) -> str:
        return ""

    def argv(self) -> list[str]:
        return [*self.command(), "-n", "-c", str(self.conf)]

    def ctl(self, *words: str) -> list[str]:
        return [*self.command(), "ctl", "-c", str(self.conf), *words]

    _control: socket.socket | None = None

    def api_status(self) -> int:
        """One `List` over a kept connection to the control socket."""
        if self._control is None:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            control.settimeout(120)
            try:
                control.connect(f"{self.socket_path}.control")
            except OSError:
                control.close()
                raise
            self._control = control
        self._control.sendall(LIST_CALL)
        reply = bytearray()
        while not reply.endswith(b"\0"):
            data = self._control.recv(1 << 20)
            if not data:
                raise RuntimeError("the daemon closed the connection")
            reply += data
        return reply.count(b'"statecode":')

    def close(self) -> None:
        super().close()
        if self._control:
            self._control.close()
            self._control = None
