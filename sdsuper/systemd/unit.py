"""The text of the systemd unit that runs the daemon. PURE.

Promises: one place for the unit of the packages (units/, which a test keeps equal) and the one that `sdsuper service
install` writes; nothing in a path becomes a directive or a specifier. Must not: ask for what this version does not do
yet (a watchdog, a descriptor store). Sources: systemd.service(5), systemd.exec(5), systemd.resource-control(5).

The second half of [Service] takes away what a service manager and its programs have no use for. It was chosen so that
programs that work under Supervisor go on to work: no NoNewPrivileges (sudo, ping), no ProtectSystem and PrivateTmp
(programs share files), no MemoryDenyWriteExecute (Java, Node), no RestrictNamespaces (containers). A drop-in adds
those.
"""

MARK = "# Written by `sdsuper service install`; `sdsuper service uninstall` removes it."

_UNIT = """\
[Unit]
Description=Programs under sdsuper
Documentation=man:sdsuperd(8) man:supervisord.conf(5)
After=network.target nss-user-lookup.target
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={daemon} --nodaemon --silent --configuration {config}
ExecReload={command} ctl --configuration {config} reload
Restart=on-failure
RestartSec=1
TimeoutStartSec=90
TimeoutStopSec=90
KillMode=mixed
Delegate=yes
OOMPolicy=continue
LimitNOFILE=65536
TasksMax=infinity
RuntimeDirectory=sdsuper
RuntimeDirectoryPreserve=yes
LogsDirectory=sdsuper
LogsDirectoryMode=0750
UMask=0022

CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_BOOT CAP_SYS_PACCT CAP_WAKE_ALARM
CapabilityBoundingSet=~CAP_BLOCK_SUSPEND CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_LINUX_IMMUTABLE CAP_BPF CAP_PERFMON
CapabilityBoundingSet=~CAP_SYSLOG CAP_AUDIT_CONTROL CAP_AUDIT_READ
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
KeyringMode=private
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(command: str, daemon: str, config: str) -> str:
    """The unit's text. `command` and `daemon` are paths of sdsuper and sdsuperd, `config` is the configuration. Raises
    ValueError for a path with control characters.
    """
    return _UNIT.format(command=_word(command), daemon=_word(daemon), config=_word(config))


def _word(text: str) -> str:
    """One word of a command line: quoted where it has to be, `%` and `$` without their meaning."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError(f"cannot write {text!r} into a unit (no control characters expected)")
    escaped = text.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if text and not any(letter in " '\";\\" for letter in text):
        return escaped
    return '"' + escaped.replace('"', '\\"') + '"'
