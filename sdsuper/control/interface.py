"""The Varlink interface of the control socket, and what each method needs of its caller.

The text below is the one source: `GetInterfaceDescription` returns it, parameters are checked against it, and the
client's calls are named after it. Protocol: https://varlink.org (JSON objects, each ended by a NUL byte).

A `name` is what supervisorctl takes: `group:process`, `process` where it is alone in a group of its own name,
`group:*` or `group:`, a shell pattern over these, or `all`. Times are whole seconds since the epoch; 0 is "never".
"""

from enum import IntEnum

INTERFACE = "io.sdsuper.Control"

DESCRIPTION = f"""\
# Control of one sdsuper daemon: what supervisorctl can ask, and a little more.
interface {INTERFACE}

# health (healthy, unhealthy, unready, unknown) and ready are there for processes with checks.
type Process (
  name: string,
  group: string,
  description: string,
  state: string,
  statecode: int,
  goal: string,
  pid: int,
  run: int,
  exitstatus: int,
  spawnerr: string,
  start: int,
  stop: int,
  now: int,
  stdout_logfile: string,
  stderr_logfile: string,
  leftovers: int,
  lost_bytes: int,
  health: ?string,
  ready: ?bool,
  next_start: ?int
)

# The log options of one stream. logfile is empty without a file, and `AUTO` for a name that is not chosen yet.
type LogConfig (
  logfile: string,
  maxbytes: int,
  backups: int,
  capture_maxbytes: int,
  events_enabled: bool,
  syslog: bool,
  journal: bool
)

# The options of one configured process: a line of `avail`, and more.
type Config (
  name: string,
  group: string,
  inuse: bool,
  autostart: bool,
  autorestart: string,
  group_priority: int,
  process_priority: int,
  command: string,
  directory: ?string,
  uid: ?int,
  serverurl: ?string,
  startsecs: int,
  startretries: int,
  exitcodes: []int,
  stopsignal: int,
  stopwaitsecs: int,
  stopasgroup: bool,
  killasgroup: bool,
  redirect_stderr: bool,
  stdout: LogConfig,
  stderr: LogConfig
)

# One HTTP socket of the configuration: file of a unix socket, or host (empty: all) and port.
type Listener (
  section: string,
  file: ?string,
  host: ?string,
  port: ?int,
  username: ?string,
  password: ?string
)

# The present run of a process (pid 0: there is none) and the directory of its cgroup, where the kernel tells everybody
# what it uses.
type Run (
  name: string,
  group: string,
  pid: int,
  frozen: bool,
  cgroup: ?string
)

# An option and, where it is written, file and line; with the section, if that is not the process's own. `environment`
# comes once for each variable.
type Setting (
  name: string,
  value: string,
  file: ?string,
  line: ?int,
  section: ?string
)

# A process: its options that are not the default, and what the kernel says of its child (pid 0: there is none). Values
# of variables and credentials are in neither. Not current: the files say something else by now, and an update has not
# been made; nothing has a place then.
type Effective (
  name: string,
  group: string,
  pid: int,
  current: bool,
  options: []Setting,
  in_force: []Setting
)

# What became of one process; fault is Supervisor's name for it, SUCCESS (80) when all went well.
type Result (
  name: string,
  group: string,
  status: int,
  fault: string,
  description: string
)

# One step of an update: kind is added, updated, removed or stopped.
type Change (
  group: string,
  kind: string
)

# How a run has ended, or (with pid 0) that a start has failed before there was a child. `status` is the exit status;
# where a signal has ended it, `signal` is its name. `seconds` is how long it lasted. `wanted` says what ended it:
# `stop`, `restart`, `signal` (a client's), `check` (the daemon's own), or `itself`. `by` is the client, if it was
# one: `HTTP` or `uid 0`.
type End (
  run: int,
  pid: int,
  time: int,
  seconds: int,
  status: ?int,
  signal: ?string,
  core: bool,
  oom: bool,
  wanted: string,
  by: ?string,
  reason: string
)

# What is to be known of a process that is not as somebody wishes. `waits` are sentences; `ends` has the newest first;
# `said` is the newest STATUS= of the program, `trouble` what its checks object to, `place` its section as it was read.
type Explanation (
  name: string,
  group: string,
  state: string,
  goal: string,
  run: int,
  pid: int,
  description: string,
  spawnerr: string,
  waits: []string,
  ends: []End,
  health: string,
  trouble: string,
  said: string,
  restarts: string,
  disabled: bool,
  scale: ?int,
  section: string,
  file: ?string,
  line: ?int
)

# An option that an update would change, as text; without `old` or `new` it is not written there. Values of variables
# and secrets are `(changed)`.
type Difference (
  option: string,
  old: ?string,
  new: ?string,
  file: ?string,
  line: ?int,
  section: ?string
)

# What an update would do to a process: kind is added, removed, restarted or applied (it goes on with the new values).
type ProcessDifference (
  name: string,
  kind: string,
  options: []Difference
)

# The same of a group: kind is added, removed or changed; `options` are its own.
type GroupDifference (
  group: string,
  kind: string,
  options: []Difference,
  processes: []ProcessDifference
)

method GetState() -> (
  version: string,
  api_version: string,
  identifier: string,
  pid: int,
  state: string,
  statecode: int,
  notices: []string
)
method List(name: ?string) -> (processes: []Process)
method ListConfigs() -> (configs: []Config)
method Cat(name: string) -> (processes: []Effective)
method Why(name: string) -> (processes: []Explanation)

method Start(name: string, wait: ?bool) -> (results: []Result)
method Stop(name: string, wait: ?bool) -> (results: []Result)
method Signal(name: string, signal: string) -> (results: []Result)
# Runs reload_command, or sends reload_signal; answers when the command has ended.
method ReloadProcess(name: string) -> (results: []Result)
method ListRuns(name: ?string) -> (runs: []Run)
# Nothing of a frozen process and of what it has started runs until it is thawed; a stop thaws it.
method Freeze(name: string) -> (results: []Result)
method Thaw(name: string) -> (results: []Result)
method WriteStdin(name: string, data: string) -> ()

# The reply carries a read-only descriptor of the log (SCM_RIGHTS). Without a name: the daemon's own log.
method OpenLog(name: ?string, channel: ?string) -> (path: string)
# The same of the file that conf_file names.
method OpenConf(name: string) -> (path: string)
method ClearLogs(name: ?string) -> (results: []Result)
# Rotates now what is not empty, once each file; without a name: the daemon's own log.
method RotateLogs(name: ?string) -> (results: []Result)
method ReopenLogs() -> ()

# Reread parses and compares; Update does the same and makes it so, for all groups when none is named. A process whose
# options did not change is not touched. A configuration that cannot be read changes nothing.
method Reread() -> (added: []string, changed: []string, removed: []string)
method Update(groups: ?[]string) -> (changes: []Change)
# What Update would do; `daemon` are options that wait for a restart of the daemon.
method Diff(groups: ?[]string) -> (groups: []GroupDifference, daemon: []string)
method AddGroup(name: string) -> ()
method RemoveGroup(name: string) -> ()
# A number of processes that wins over the program's numprocs, now and after a restart of the daemon; without one the
# configuration holds again.
method Scale(program: string, count: ?int) -> (changes: []Change)
# A disabled process is not started by autostart or by the clock, now and after a restart of the daemon.
method Enable(name: string) -> (results: []Result)
method Disable(name: string) -> (results: []Result)
method Shutdown() -> ()

# Sends the event REMOTE_COMMUNICATION to the listeners that want it.
method SendEvent(type: string, data: string) -> ()

# To be called with `more`: a reply for each event of these types from now on (none: of all but the clock's ticks); a
# first one, without an event, says that it has begun. `lost` are events that a slow reader was not told of before this.
method Subscribe(types: ?[]string) -> (event: ?string, time: int, payload: string, lost: int)

# For the HTTP face alone, which has a connection of its own from its start. OpenFace carries a descriptor of each
# listener's socket, in their order; OpenConnection carries another connection with the same rights.
method OpenFace() -> (listeners: []Listener, allowed_hosts: []string, idle_seconds: int, body_bytes: int)
method OpenConnection() -> ()

error Refused (fault: string, code: int, detail: string)
"""


class Level(IntEnum):
    """What a caller may do; each level includes those below it."""

    NOTHING = 0
    OPERATE = 1    # a configured group: see, start, stop, signal, logs
    ADMIN = 2      # root and the daemon's owner: configuration, stdin, the daemon's life
    FACE = 3       # the daemon's own HTTP face, which asks everything of its clients itself


LEVELS = {
    "GetState": Level.OPERATE, "List": Level.OPERATE, "ListConfigs": Level.OPERATE, "Cat": Level.OPERATE,
    "Start": Level.OPERATE, "Stop": Level.OPERATE, "Signal": Level.OPERATE, "ListRuns": Level.OPERATE,
    "ReloadProcess": Level.OPERATE, "OpenConf": Level.OPERATE,
    "Freeze": Level.OPERATE, "Thaw": Level.OPERATE, "WriteStdin": Level.ADMIN, "OpenLog": Level.OPERATE,
    "ClearLogs": Level.ADMIN, "RotateLogs": Level.ADMIN, "ReopenLogs": Level.OPERATE, "Reread": Level.OPERATE,
    "Update": Level.ADMIN,
    "Why": Level.OPERATE, "Diff": Level.OPERATE, "Scale": Level.ADMIN, "Enable": Level.ADMIN, "Disable": Level.ADMIN,
    "Subscribe": Level.OPERATE,
    "AddGroup": Level.ADMIN, "RemoveGroup": Level.ADMIN, "Shutdown": Level.ADMIN, "SendEvent": Level.ADMIN,
    "OpenFace": Level.FACE, "OpenConnection": Level.FACE,
}
