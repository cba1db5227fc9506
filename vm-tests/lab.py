"""Virtual machines that boot real systemd: made once, booted once, and then had in a fifth of a second.

    vm-tests/lab.py KIND [COMMAND]      a fresh machine: runs COMMAND in it, or takes commands from you

A disk that was made elsewhere is a kind of machine, too: SDSUPER_VM_IMAGE_FEDORA=/srv/fedora.qcow2 makes the kind
`fedora`, which boots by its own boot loader. README.md says what has to be on it.

Promises: a machine is fresh (its disk is an overlay, its memory a snapshot of a booted one) and gone afterwards,
whatever happens; it has no network. It is emulated: a /dev/kvm that is there says nothing about whether it can boot
this kernel; SDSUPER_VM_KVM=1 says that it can. Must not: know what is tested.

Control goes over the guest agent (qemu-guest-agent, on a virtio port), files come as a tar file on a disk that is
plugged in. Sources: QMP and guest agent protocol of QEMU, systemd(1).
"""

import base64
import contextlib
import ctypes
import glob
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, TextIO

import cache

QEMU = "qemu-system-x86_64"
ANSWER_SECONDS, FIRST_SECONDS = 30, 600
MEMORY_MB, CPUS = os.environ.get("SDSUPER_VM_MEMORY_MB", "768"), "2"
FIRMWARE = os.environ.get("SDSUPER_VM_FIRMWARE", "")        # for disks made elsewhere that want UEFI
ACCELERATOR = "kvm" if os.environ.get("SDSUPER_VM_KVM") == "1" else "tcg,thread=multi"
PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "python3", "iproute2", "procps", "rsyslog", "apt", "busybox-static",
    "qemu-guest-agent", "linux-image-cloud-amd64",
)  # fmt: skip
#: Nothing is left for a first boot to do, and nothing happens by itself afterwards.
SETUP = r"""set -e
ldconfig; journalctl --update-catalog; systemd-hwdb update 2>/dev/null || :; systemd-sysusers
systemd-machine-id-setup >/dev/null; passwd -d root >/dev/null
echo vm >/etc/hostname; echo '127.0.0.1 localhost vm' >/etc/hosts
mkdir -p /var/log/journal; : >/etc/fstab; rm -f /etc/resolv.conf /etc/apt/sources.list /etc/apt/sources.list.d/*
for timer in apt-daily apt-daily-upgrade dpkg-db-backup fstrim; do systemctl -q mask $timer.timer; done
systemctl -q mask systemd-timesyncd.service || :
for file in /etc/.updated /var/.updated; do touch -r /usr $file; done"""
#: The initrd's only program: the cloud kernel has virtio_blk as a module.
INIT = """#!/busybox sh
/busybox mount -t devtmpfs d /dev
for module in /modules/*.ko; do /busybox insmod $module; done
n=0; while [ ! -b /dev/vda ] && [ $n -lt 200 ]; do /busybox sleep 0.05; n=$((n+1)); done
/busybox mount -t ext4 -o rw /dev/vda /new && /busybox mount --move /dev /new/dev &&
    exec /busybox switch_root /new /sbin/init
exec /busybox poweroff -f
"""
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")


class Kind(NamedTuple):
    """A kind of machine: the suite of Debian it is made of, and packages that it has besides."""

    suite: str
    packages: tuple[str, ...] = ()


#: One line makes another kind; a check says on which of them it runs (checks.main).
KINDS = {"bookworm": Kind("bookworm"), "trixie": Kind("trixie"), "trixie-rpm": Kind("trixie", ("dnf", "rpm"))}

_IMAGE = "SDSUPER_VM_IMAGE_"
#: Disks made elsewhere, by the kind that the environment makes of them.
IMAGES = {key.removeprefix(_IMAGE).lower(): Path(path).resolve() for key, path in os.environ.items()
          if key.startswith(_IMAGE)}


class Result(NamedTuple):
    """What a command in the guest gave."""

    code: int
    out: str
    err: str


def _call(*argv: object, cwd: str | None = None, stdout: IO[bytes] | int = subprocess.PIPE) -> None:
    done = subprocess.run([str(word) for word in argv], check=False, cwd=cwd, stdout=stdout, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stderr.decode()[-4000:]}")


# ---- images ---------------------------------------------------------------------------------------------------------

def base(name: str) -> Path:
    """The directory with kernel and initrd (of our own machines), disk and the snapshot of a booted machine."""
    version = subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True).stdout
    image = IMAGES.get(name)

    def make(folder: Path) -> None:
        if image is None:
            _make_image(KINDS[name], folder)
        below = image or folder / "disk.raw"
        _overlay(below, _format(below), folder / "booted.qcow2")
        with cache.scratch() as place, Machine(place, folder, folder / "booted.qcow2", limit=FIRST_SECONDS) as machine:
            found = machine.run("systemctl is-system-running --wait; sync; echo 3 >/proc/sys/vm/drop_caches")
            if found.out.strip() != "running":
                failed = machine.run("systemctl --failed").out
                raise RuntimeError(f"{name} does not come up: {found.out}{found.err}\n{failed}")
            machine.save(folder / "booted.state")
    hardware = (MEMORY_MB, CPUS, ACCELERATOR, version)
    if image is not None:
        found = image.stat()
        return cache.made(f"vm-{name}", (image, found.st_size, found.st_mtime_ns, FIRMWARE, *hardware), make)
    recipe = (KINDS[name], PACKAGES, SETUP, INIT, MODULES, *hardware, inspect.getsource(_make_image))
    return cache.made(f"vm-{name}", recipe, make)


def _make_image(kind: Kind, out: Path) -> None:
    """A root file system as ext4, its kernel, and an initrd that only loads modules and switches root."""
    root, setup = out / "root", out / "setup"
    setup.write_text(SETUP)
    _call("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES + kind.packages)}",
          '--aptopt=Acquire::Check-Valid-Until "false"', '--aptopt=APT::Install-Recommends "false"',
          "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
          f'--customize-hook=chroot "$1" sh <{setup} >/dev/null', kind.suite, root, *cache.sources(kind.suite))
    shutil.copy(root / "var/lib/dpkg/status", out / "status")
    shutil.copy(glob.glob(f"{root}/boot/vmlinuz-*")[0], out / "vmlinuz")
    with tempfile.TemporaryDirectory() as temp:
        for name in ("modules", "dev", "new"):
            os.mkdir(f"{temp}/{name}")
        shutil.copy(root / "bin/busybox", temp)
        for number, name in enumerate(MODULES):     # in load order; those that are built in are not there
            for found in glob.glob(f"{root}/lib/modules/*/kernel/**/{name}.ko*", recursive=True):
                with open(f"{temp}/modules/{number}{name}.ko", "wb") as module:
                    _call(*(["xz", "-dc"] if found.endswith(".xz") else ["cat"]), found, stdout=module)
        Path(temp, "init").write_text(INIT)
        os.chmod(f"{temp}/init", 0o755)
        with open(out / "initrd", "wb") as initrd:
            _call("sh", "-c", "find . | cpio -o -H newc --quiet", cwd=temp, stdout=initrd)
    _call("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, out / "disk.raw",
          "4G")
    _call("rm", "-rf", "--one-file-system", root)


def _format(disk: Path) -> str:
    done = subprocess.run(["qemu-img", "info", "--output=json", disk], check=True, capture_output=True, text=True)
    return str(json.loads(done.stdout)["format"])


def _overlay(below: Path, kind: str, path: Path) -> None:
    # by name alone where they lie beside each other: the directory is renamed when it is complete
    name = below.name if below.parent == path.parent else below
    _call("qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", name, path)


@contextlib.contextmanager
def machine(name: str) -> Iterator["Machine"]:
    """A fresh machine of a kind, `running`."""
    folder = base(name)
    with cache.scratch() as place:
        disk = place / "disk.qcow2"
        _overlay(folder / "booted.qcow2", "qcow2", disk)
        with Machine(place, folder, disk, folder / "booted.state") as found:
            yield found


# ---- machines -------------------------------------------------------------------------------------------------------

class Machine:
    """One running machine: `run` a command in it, `give` it files, `reboot` it."""

    def __init__(self, place: Path, folder: Path, disk: Path, state: Path | None = None, limit: float = 240) -> None:
        """Switch it on; its sockets and console are in `place`, kernel and initrd in `folder`. With `state` it goes on
        from there. Raises TimeoutError when it does not answer within `limit` seconds.
        """
        self.dir = place
        boot = ["-bios", FIRMWARE] if FIRMWARE else []
        if (folder / "vmlinuz").exists():
            boot = ["-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"),
                    "-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
        self._qemu = subprocess.Popen(
            [QEMU, "-nodefaults", "-no-user-config", "-M", "pc", "-accel", ACCELERATOR, "-cpu", "max", "-smp", CPUS,
             "-m", MEMORY_MB, "-display", "none", "-nic", "none", "-serial", f"file:{self.dir}/console",
             "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off", *boot,
             "-drive", f"file={disk},if=none,id=d0,format=qcow2,cache=unsafe", "-device", "virtio-blk-pci,drive=d0",
             "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
             "-chardev", f"socket,path={self.dir}/agent,server=on,wait=off,id=agent",
             "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
             *(["-incoming", f"exec:cat {state}"] if state else [])],
            stdin=subprocess.DEVNULL, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))  # PR_SET_PDEATHSIG
        try:
            self._monitor = self._connect("qmp")
            self._monitor.readline()
            self._qmp("qmp_capabilities")
            while state and self._qmp("query-status")["status"] == "inmigrate":
                time.sleep(0.01)
            self._qmp("cont")
            self._await_agent(limit)
            if state:
                self.run(f"date -s @{time.time():.3f}")     # its clock stood still
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off and forget it."""
        self._qemu.kill()
        self._qemu.wait()

    def run(self, script: str, limit: float = 600) -> Result:
        """Run a shell script in the guest as root, outside of any session. Raises TimeoutError."""
        pid = _ask(self._agent, "guest-exec", path="/bin/sh", arg=["-c", script], **{"capture-output": True})["pid"]
        end, pause = time.time() + limit, 0.01
        while time.time() < end:
            found = _ask(self._agent, "guest-exec-status", pid=pid)
            if found["exited"]:
                out, err = (base64.b64decode(found.get(key, "")) for key in ("out-data", "err-data"))
                code = found["exitcode"] if "exitcode" in found else 128 + found["signal"]
                return Result(code, out.decode(errors="replace"), err.decode(errors="replace"))
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        raise TimeoutError(f"after {limit:g} seconds: {script}")

    def reboot(self, limit: float = 300) -> str:
        """Reboot, wait until it is up under another boot id; the state of the system then."""
        before, end = self.run("cat /proc/sys/kernel/random/boot_id").out, time.time() + limit
        self._agent.write('{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}\n')
        self._agent.flush()
        while time.time() < end:
            with contextlib.suppress(RuntimeError, ValueError, OSError):
                self._agent.close()                 # the channel serves one connection at a time
                self._await_agent(end - time.time())
                if self.run("cat /proc/sys/kernel/random/boot_id", 10).out != before:
                    return self.run("systemctl is-system-running --wait").out.strip()
            time.sleep(0.5)
        raise TimeoutError("it does not come back from a reboot")

    def give(self, folder: Path) -> None:
        """Copy a folder's files to /job in the guest."""
        tar = self.dir / "job.tar"
        _call("tar", "-C", folder, "-cf", tar, ".")
        self._qmp("blockdev-add", **{"node-name": "job", "driver": "raw", "read-only": True,
                                     "file": {"driver": "file", "filename": str(tar)}})
        self._qmp("device_add", driver="virtio-blk-pci", id="job", drive="job", serial="job")
        found = self.run("n=0; until [ -b /dev/vdb ] || [ $n = 100 ]; do sleep .1; n=$((n+1)); done; "
                         "mkdir -p /job && tar -C /job -xf /dev/vdb")
        if found.code:
            raise RuntimeError(f"files did not arrive: {found.out}{found.err}")

    def save(self, path: Path) -> None:
        """Write memory and devices to `path`; the disk as it is now belongs to it. Ends the machine."""
        self._agent.close()
        self._qmp("stop")
        self._qmp("migrate-set-parameters", **{"max-bandwidth": 10**10})
        self._qmp("migrate", uri=f"exec:cat >{path}")
        while (status := self._qmp("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise RuntimeError("the snapshot was not written")
            time.sleep(0.05)
        self._qmp("quit")
        self._qemu.wait()

    def _connect(self, name: str, limit: float = 10) -> TextIO:
        end = time.time() + limit
        while True:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(f"{self.dir}/{name}")
                return channel.makefile("rw")
            except OSError:
                channel.close()
                if time.time() > end or self._qemu.poll() is not None:
                    raise
                time.sleep(0.02)

    def _qmp(self, command: str, **arguments: Any) -> Any:
        return _ask(self._monitor, command, **arguments)

    def _await_agent(self, limit: float) -> None:
        """Until the agent answers; the number tells a stale answer from a fresh one."""
        end = time.time() + limit
        while time.time() < end:
            number = time.time_ns() % 10**9
            with contextlib.suppress(OSError, ValueError, RuntimeError), socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(1)
                channel.connect(f"{self.dir}/agent")
                channel.sendall(json.dumps({"execute": "guest-sync", "arguments": {"id": number}}).encode() + b"\n")
                buffer = b""
                while b"%d" % number not in buffer:
                    data = channel.recv(4096)
                    if not data:
                        raise OSError("closed")
                    buffer += data
                agent = socket.socket(fileno=channel.detach())
                agent.settimeout(ANSWER_SECONDS)        # it may go down with our question
                self._agent = agent.makefile("rw")
                return
            time.sleep(0.1)
        raise TimeoutError(f"the guest does not answer:\n{(self.dir / 'console').read_text(errors='replace')[-3000:]}")


def _ask(channel: TextIO, command: str, **arguments: Any) -> Any:
    channel.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    channel.flush()
    while True:
        line = channel.readline()
        if not line:
            raise OSError("the machine has ended")
        reply = json.loads(line.lstrip("\xff"))
        if "error" in reply:
            raise RuntimeError(reply["error"]["desc"])
        if "return" in reply:
            return reply["return"]


def main(name: str, *words: str) -> int:
    """One machine for a command, or to look around."""
    with machine(name) as found:
        if not words:
            sit(found)
            return 0
        result = found.run(" ".join(words))
    sys.stdout.write(result.out)
    sys.stderr.write(result.err)
    return result.code


def sit(found: Machine) -> None:
    """Leave the machine up and take commands for it from standard input."""
    print(f"The machine is up; its console is in {found.dir}/console. Type commands for it, Control-D ends it.",
          flush=True)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            result = found.run(input("vm# "))
            print(f"{result.out}{result.err}", end="" if (result.out + result.err).endswith("\n") else "\n")
            if result.code:
                print(f"[exit status {result.code}]")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the machine and its files go away
    sys.exit(main(*sys.argv[1:]))
