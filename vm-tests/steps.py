"""Steps of a user's days that are the same whatever the packages are made with.

Promises: each says what it does (`checks.step`) and leaves what the next needs. Must not: know apt or dnf.
"""

from checks import Guest, Wrong, step

WEB = """\
[program:web]
command = /bin/sh -c "id -un; echo the web is up; exec sleep 100000"
user = nobody
stdout_logfile = syslog
redirect_stderr = true"""
BROKEN = """\
[program:other]
command = /bin/sleep 100000
startsecs = soon"""
OWN = """\
[supervisord]
logfile = /var/log/own.log
pidfile = /run/own.pid
control_socket = /run/own.sock
user = root
[supervisorctl]
serverurl = unix:///run/own.sock
[program:mine]
command = /bin/sleep 100000
startsecs = 0"""
ASK = """\
import http.client, re, socket, xmlrpc.client
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect('/run/sdsuper/supervisor.sock')
class Transport(xmlrpc.client.Transport):
    def make_connection(self, host):
        return Connection('localhost')
server = xmlrpc.client.ServerProxy('http://localhost', transport=Transport())
for found in server.supervisor.getAllProcessInfo():
    print(found['name'], found['statename'])
page = Connection('localhost')
page.request('GET', '/')
print(page.getresponse().read().decode())
import subprocess
print(subprocess.run(['ps', '-eo', 'user,args'], capture_output=True, text=True).stdout)
"""
EVERY_MODULE = """\
import importlib, pkgutil, sdsuper
for found in pkgutil.walk_packages(sdsuper.__path__, 'sdsuper.'):
    if not found.name.endswith('__main__'):
        importlib.import_module(found.name)
print('imported')"""
#: Says how it begins and how it ends.
PROBE = """\
#!/bin/sh
trap 'echo probe ends cleanly; exit 0' TERM
echo probe starts
sleep 100000 & wait"""
PROBE_PROGRAM = """\
[program:probe]
command = /usr/local/bin/probe
stdout_logfile = syslog
stopasgroup = true"""


def places(guest: Guest, expected: str) -> None:
    """See that files are as these lines say: mode, owner:group, path."""
    paths = " ".join(line.split()[-1] for line in expected.splitlines())
    guest.says(f"stat -L -c '%a %U:%G %n' {paths}", expected)


def commands(guest: Guest) -> None:
    """Every command, and every module of the package."""
    step("every command and every module")
    guest.has("sdsuper version; sdsuperd --version; supervisord --version; supervisorctl version", "0.")
    guest.has("echo_supervisord_conf", "[supervisord]")
    guest.has("pidproxy; true", "pidproxy")
    guest.run("bash -n /usr/share/bash-completion/completions/sdsuper")
    guest.has(f"cd / && python3 -I -W error::SyntaxWarning -c \"{EVERY_MODULE}\"", "imported")
    guest.has("sdsuper check -c /etc/supervisord.conf", "ok")


def unit(guest: Guest) -> None:
    """The unit that is installed."""
    step("the unit: no mistake in it, a sandbox")
    guest.says("systemd-analyze verify --man=no sdsuper.service 2>&1", "")
    guest.run("systemd-analyze security --no-pager --offline=yes --threshold=65 "
              "/usr/lib/systemd/system/sdsuper.service")


def enabled(guest: Guest) -> None:
    """The service is enabled, and there after a reboot."""
    step("enabled, and there after a reboot")
    guest.run("systemctl enable --now sdsuper")
    guest.has("systemctl is-active sdsuper", "active")
    guest.has("systemctl show sdsuper -p Type,SubState", "Type=notify", "SubState=running")
    guest.reboot()
    guest.has("systemctl is-active sdsuper", "active")
    guest.has("sdsuper ctl status && supervisorctl version", "0.")


def drop_in(guest: Guest) -> str:
    """A program in a file of its own; its pid."""
    step("a program by a drop-in, and a reload")
    guest.write("/etc/supervisord.d/web.conf", WEB)
    guest.run("systemctl reload sdsuper")
    guest.until("sdsuper ctl status web | grep -q RUNNING", "web runs")
    pid = guest.run("sdsuper ctl pid web").strip()
    guest.has(f"ps -o user= -p {pid}", "nobody")
    guest.until("journalctl -t web -o cat | grep -q 'the web is up'", "its output is in the journal")
    guest.has("journalctl -t web -o cat", "nobody")
    guest.has(f"cat /proc/{pid}/cgroup", "/system.slice/sdsuper.service/")
    guest.has("supervisorctl status", "web", "RUNNING")
    return pid


def http(guest: Guest) -> None:
    """The unix socket, with the program of `drop_in`."""
    step("XML-RPC and the status page over the unix socket, by a process without rights")
    guest.write("/root/ask.py", ASK)
    guest.has("python3 /root/ask.py", "web RUNNING", "<html", "sdsuper")


def mistake(guest: Guest, pid: str) -> None:
    """A drop-in with a mistake, beside the program of `drop_in`."""
    step("a drop-in with a mistake: refused with file and line, everything else goes on")
    guest.write("/etc/supervisord.d/broken.conf", BROKEN)
    guest.run("systemctl reload sdsuper", code=1)
    guest.has("journalctl -u sdsuper --no-pager -o cat", "/etc/supervisord.d/broken.conf:3", "startsecs", "'soon'")
    guest.has("systemctl is-active sdsuper", "active")
    if guest.run("sdsuper ctl pid web").strip() != pid:
        raise Wrong("the other program did not go on")
    guest.run("rm /etc/supervisord.d/broken.conf && systemctl reload sdsuper")


def own_service(guest: Guest) -> None:
    """A second service beside the package's."""
    step("a service of one's own")
    guest.write("/root/own.conf", OWN)
    guest.has("sdsuper service install -c /root/own.conf --name own --now", "own.service")
    guest.has("systemctl is-active own && sdsuper ctl -c /root/own.conf status", "active", "mine", "RUNNING")
    guest.run("sdsuper service install -c /root/own.conf", code=1)      # the package's name is taken
    guest.run("sdsuper service uninstall --name own && test ! -e /etc/systemd/system/own.service")
    guest.lacks("systemctl is-active own", "\nactive")


def add_probe(guest: Guest) -> str:
    """A program that says how it ends, an edited configuration, and a restart; the program's pid."""
    guest.write("/usr/local/bin/probe", PROBE, "755")
    guest.write("/etc/supervisord.d/probe.conf", PROBE_PROGRAM)
    guest.run("sed -i 's/^chmod = 0700.*/chmod = 0770/' /etc/supervisord.conf && systemctl restart sdsuper")
    return probe(guest)


def probe(guest: Guest) -> str:
    """See that the probe runs, once; its pid."""
    guest.until("sdsuper ctl status probe | grep -q RUNNING", "the program runs")
    guest.says("systemctl is-active sdsuper; pgrep -fc '^/bin/sh /usr/local/bin/probe'", "active\n1")
    return guest.run("sdsuper ctl pid probe").strip()


def probe_ended(guest: Guest, times: int) -> None:
    """See that the probe has been stopped in order that many times."""
    guest.says("journalctl -q -t probe -o cat --no-pager | grep -c 'ends cleanly'", str(times))


def edits(guest: Guest) -> None:
    """See that what `add_probe` has edited is still so."""
    guest.run("grep -q '^chmod = 0770' /etc/supervisord.conf && test -e /etc/supervisord.d/probe.conf")


def nothing_runs(guest: Guest) -> None:
    """See that the daemon and all programs are gone."""
    guest.lacks("pgrep -a sleep; pgrep -a sdsuper; ls /sys/fs/cgroup/system.slice",
                "100000", "sdsuperd", "sdsuper.service")
