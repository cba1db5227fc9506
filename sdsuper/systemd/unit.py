"""The text of the systemd units that run the daemon. PURE.

Promises: one place for the units of the packages (units/, which a test keeps equal) and those that `sdsuper service
install` writes; nothing in a path becomes a directive or a specifier. Must not: ask for what this version does not do
yet (a descriptor store). Sources: systemd.service(5), systemd.exec(5), systemd.resource-control(5), systemd.socket(5).

What the default unit takes away was chosen so that programs that work under Supervisor go on to work: no
NoNewPrivileges (sudo, ping), no ProtectSystem and PrivateTmp (programs share files), no MemoryDenyWriteExecute (Java,
Node), no RestrictNamespaces (containers, and the daemon's own sandboxes). `hardened` and `strict` take that, too, and
`compat` gives everything back.
"""

from collections.abc import Sequence
from typing import NamedTuple

MARK = "# Written by `sdsuper service install`; `sdsuper service uninstall` removes it."
HARDENINGS = ("default", "hardened", "strict")
#: Since then systemd knows Type=notify-reload; an older one would take it for Type=simple without a word.
NOTIFY_RELOAD_SINCE = 253


class Plan(NamedTuple):
    """What a unit is made of. `command` and `daemon` are paths of sdsuper and sdsuperd, `config` is the configuration.

    `stop_seconds` is how long systemd waits for the first word of a daemon that stops (it asks for more itself),
    `writable` are the directories that `strict` has to leave open, `systemd` is the version of who will read it.
    """

    command: str
    daemon: str
    config: str
    hardening: str = "default"
    stop_seconds: int = 90
    writable: Sequence[str] = ()
    systemd: int = 0


_CAPABILITIES = """\
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_BOOT CAP_SYS_PACCT CAP_WAKE_ALARM
CapabilityBoundingSet=~CAP_BLOCK_SUSPEND CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_LINUX_IMMUTABLE CAP_BPF CAP_PERFMON
CapabilityBoundingSet=~CAP_SYSLOG CAP_AUDIT_CONTROL CAP_AUDIT_READ
"""
_KERNEL = """\
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
"""
_SANDBOX = f"""\
{_CAPABILITIES}{_KERNEL}KeyringMode=private
PrivateMounts=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
"""
#: What the default sandbox has set, set back: everything that Supervisor's unit allows.
_NO_SANDBOX = """\
CapabilityBoundingSet=~
ProtectClock=no
ProtectHostname=no
ProtectKernelModules=no
ProtectKernelLogs=no
ProtectKernelTunables=no
RestrictRealtime=no
RestrictSUIDSGID=no
LockPersonality=no
SystemCallArchitectures=
PrivateMounts=no
RestrictAddressFamilies=
SystemCallFilter=
SystemCallErrorNumber=
"""
_HARDENED = """\
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
RestrictNamespaces=mnt net
SystemCallFilter=~@debug
"""
_STRICT = """\
NoNewPrivileges=yes
ProtectSystem=strict
{writable}ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
RestrictNamespaces=yes
RestrictAddressFamilies=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallFilter=
SystemCallFilter=@system-service @setuid
MemoryDenyWriteExecute=yes
ProtectProc=invisible
UMask=0027
RemoveIPC=yes
CapabilityBoundingSet=
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_SYS_RESOURCE
CapabilityBoundingSet=CAP_SETPCAP
"""
_UNPRIVILEGED = f"""\
UMask=0027
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
{_KERNEL}RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
RemoveIPC=yes
"""
_USER = """\
UMask=0077
NoNewPrivileges=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
"""

_UNIT = """\
[Unit]
Description={description}
Documentation=man:sdsuperd(8) man:supervisord.conf(5)
{unit}StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
{type}NotifyAccess=main
{account}ExecStart={daemon} --nodaemon --silent --configuration {config}
ExecReload={command} ctl --configuration {config} --pid $MAINPID reload
Restart=on-failure
RestartSec=1
WatchdogSec=30
TimeoutStartSec=90
TimeoutStopSec={stop_seconds}
TimeoutAbortSec=10
KillMode=mixed
Delegate=yes
OOMPolicy=continue
{places}
{sandbox}
[Install]
WantedBy={target}
"""
_AFTER = "After=network.target nss-user-lookup.target\n"
#: All programs are one service to journald, so what it allows one is too little.
_LIMITS = """\
OOMScoreAdjust=-900
LogRateLimitBurst=500000
LimitNOFILE=65536
TasksMax=infinity
"""
_PLACES = """\
RuntimeDirectory={name}
RuntimeDirectoryPreserve=yes
StateDirectory={name}
StateDirectoryMode=0700
LogsDirectory={name}
LogsDirectoryMode=0750
"""
#: ExecReload does it and says how it went; the signal that systemd sends besides means nothing.
_NOTIFY_RELOAD = "Type=notify-reload\nReloadSignal=SIGCONT\n"

SOCKET = """\
[Unit]
Description=Sockets of sdsuper
Documentation=man:sdsuperd(8)

[Socket]
ListenStream=/run/sdsuper/supervisor.sock
ListenStream=/run/sdsuper/supervisor.sock.control
SocketMode=0600
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
#: Drop-ins of the packages, for /etc/systemd/system/sdsuper.service.d/; notify-reload is in force where it can be.
DROP_INS = {
    "hardened": "# Programs cannot gain privileges, nor write to /usr, /boot, /etc and /home, nor look into\n"
                "# each other. Their own sandboxes (sandbox= and so on) work.\n"
                f"[Service]\n{_HARDENED}",
    "strict": "# Programs can write below /run/sdsuper and /var/log/sdsuper and to what ReadWritePaths= adds, and\n"
              "# have little else: none that makes its own machine code (Java, Node), no sandboxes of their own.\n"
              f"[Service]\n{_STRICT.format(writable='', home='yes')}",
    "notify-reload": "# For systemd 253 and later: a reload that somebody asks the daemon for directly is seen, too.\n"
                     f"[Service]\n{_NOTIFY_RELOAD}",
    "compat": "# Everything that Supervisor's own unit allows.\n[Service]\n" + _NO_SANDBOX,
}


def unit(plan: Plan) -> str:
    """The unit of the machine's own daemon, which is root. Raises ValueError for a path with control characters."""
    home = "read-only" if any(map(in_homes, (plan.config, plan.daemon, plan.command, *plan.writable))) else "yes"
    strict = _STRICT.format(writable=_writable(plan.writable), home=home)
    extra = {"hardened": _HARDENED, "strict": strict}.get(plan.hardening, "")
    return _made(plan, "Programs under sdsuper", _AFTER, "", _PLACES.format(name="sdsuper") + _LIMITS + "UMask=0022\n",
                 _SANDBOX + extra, "multi-user.target")


def instance_unit(plan: Plan) -> str:
    """The template: one daemon for each /etc/sdsuper/NAME.conf. `plan.config` is not used."""
    return _made(plan, "Programs under sdsuper (%i)", _AFTER, "",
                 _PLACES.format(name="sdsuper-%i") + _LIMITS + "UMask=0022\n", _SANDBOX, "multi-user.target",
                 "/etc/sdsuper/%i.conf")


def unprivileged_unit(plan: Plan, user: str) -> str:
    """A daemon that is not root, all of whose programs are that user."""
    return _made(plan, "Programs under sdsuper, without root", _AFTER + f"ConditionPathExists={word(plan.config)}\n",
                 f"User={user}\nGroup={user}\n", _PLACES.format(name="sdsuper-unprivileged"), _UNPRIVILEGED,
                 "multi-user.target")


def user_unit(plan: Plan, config: str = "") -> str:
    """A user's own daemon, under the user's own systemd. `config` is written as it is, with systemd's specifiers."""
    places = _PLACES.format(name="sdsuper").partition("LogsDirectory")[0]
    return _made(plan, "Programs under sdsuper", "", "", places, _USER, "default.target", config)


def packaged() -> dict[str, str]:
    """The packages' units and drop-ins: name -> text."""
    plan = Plan("/usr/bin/sdsuper", "/usr/bin/sdsuperd", "/etc/supervisord.conf")
    units = {
        "sdsuper.service": unit(plan), "sdsuper.socket": SOCKET, "sdsuper@.service": instance_unit(plan),
        "sdsuper-unprivileged.service": unprivileged_unit(plan._replace(config="/etc/sdsuper/unprivileged.conf"),
                                                          "sdsuper-unprivileged"),
        "user/sdsuper.service": user_unit(plan, "%E/sdsuper/supervisord.conf"),
    }
    return units | {f"drop-ins/{name}.conf": text for name, text in DROP_INS.items()}


def _made(plan: Plan, description: str, unit: str, account: str, places: str, sandbox: str, target: str,
          config: str = "") -> str:
    kind = _NOTIFY_RELOAD if plan.systemd >= NOTIFY_RELOAD_SINCE else "Type=notify\n"
    # the path of what is run has no variables either: there systemd takes `$$` for two letters
    return _UNIT.format(description=description, unit=unit, type=kind, account=account, daemon=list_word(plan.daemon),
                        command=list_word(plan.command), config=config or word(plan.config),
                        stop_seconds=plan.stop_seconds, places=places, sandbox=sandbox, target=target)


def in_homes(path: str) -> bool:
    """Whether it is under what ProtectHome=yes empties. ProtectHome=read-only shows it, and ReadWritePaths= below it
    can be written (systemd.exec(5)).
    """
    return f"{path}/".startswith(("/home/", "/root/", "/run/user/"))


def _writable(paths: Sequence[str]) -> str:
    """`-`: a directory that is not there is no mistake."""
    return "".join(f"ReadWritePaths=-{list_word(path)}\n" for path in paths)


def word(text: str) -> str:
    """One word of a command line: quoted where it has to be, `%` and `$` without their meaning."""
    return list_word(text).replace("$", "$$")


def list_word(text: str) -> str:
    """One word of a list, where there are no variables: quoted where it has to be, `%` without its meaning."""
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xd800 <= ord(letter) < 0xe000 for letter in text):
        raise ValueError(f"cannot write {text!r} into a unit (UTF-8 and no control characters expected)")
    escaped = text.replace("\\", "\\\\").replace("%", "%%")
    if text and not any(letter in " '\";\\" for letter in text):
        return escaped
    return '"' + escaped.replace('"', '\\"') + '"'
