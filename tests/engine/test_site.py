"""A whole site, end to end: PostgreSQL, a migration, a web application that is ready late, a worker, and a cache that
nobody minds. Everything is real: the database, its clients, and whoever is killed.
"""

import os
import pwd
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.engine.conftest import Daemon, Start

(POSTGRES,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]

#: Answers with the number of jobs, and says that it is ready only after a while, when it has asked the database.
WEB = r"""
import http.server, os, socket, subprocess, sys, time
def ask(query):
    return subprocess.run(["psql", "-h", sys.argv[1], "-U", "postgres", "-Atqc", query], capture_output=True, text=True)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        result = ask("insert into jobs (what) values ('x'); select count(*) from jobs")
        self.send_response(500 if result.returncode else 200)
        self.end_headers()
        self.wfile.write(result.stdout.encode())
    def log_message(self, *words): pass
assert ask("select 1 from jobs limit 1").returncode == 0, "started before the migration"
time.sleep(0.5)
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
with open(sys.argv[1] + "/port.new", "w") as file: file.write(str(server.server_port))
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
end.connect(os.environ["NOTIFY_SOCKET"])
end.send(b"READY=1\nSTATUS=serving on port %d" % server.server_port)
server.serve_forever()
"""

SITE = """
[program-default]
autostart=false
stopasgroup=true
environment=LANG="C",PATH="{postgres}:/usr/bin:/bin"

[program:db]
command={postgres}/postgres -D {dir}/data -k {dir} -c listen_addresses= -c fsync=off
user=postgres
readiness=log:ready to accept connections
stopsignal=INT

[program:migrate]
command=psql -h {dir} -U postgres -v ON_ERROR_STOP=1 -c "create table jobs (id serial primary key, what text)"
startsecs=0
autorestart=false
depends_on=db

[program:web]
command=/usr/bin/python3 {dir}/web.py {dir}
depends_on=db, migrate:completed, cache?
depends_lost=restart
readiness=notify

[program:worker]
command=sh -c 'while psql -h {dir} -U postgres -Atqc "select count(*) from jobs" >>{dir}/seen; do sleep 0.2; done'
startsecs=0
autorestart=true
startretries=unlimited
depends_on=web
depends_lost=restart

[program:report]
command=sleep 1000
startsecs=0
depends_on=db

[program:cache]
command=/bin/false
startretries=1
"""


@pytest.fixture
def site(start: Start, directory: Path) -> Daemon:
    user = pwd.getpwnam("postgres")
    os.chown(directory, user.pw_uid, user.pw_gid)
    (directory / "web.py").write_text(WEB)
    subprocess.run([POSTGRES / "initdb", "-D", directory / "data", "-A", "trust", "--no-sync"], check=True, cwd="/",
                   user="postgres", group="postgres", extra_groups=[], stdout=subprocess.DEVNULL)
    return start(SITE.replace("{postgres}", str(POSTGRES)))


def jobs(daemon: Daemon) -> int:
    """What the web application answers."""
    with urlopen(f"http://127.0.0.1:{daemon.text('port')}/", timeout=10) as answer:
        return int(answer.read())


def states(daemon: Daemon) -> dict[str, str]:
    return {name: status["state"] for name, status in daemon.processes().items()}


UP = {"db": "RUNNING", "migrate": "EXITED", "web": "RUNNING", "worker": "RUNNING"}


def test_a_site_comes_up_survives_its_database_and_goes_down_in_order(site: Daemon) -> None:
    daemon = site
    assert daemon.result("Start", "worker")[0] == "SUCCESS"
    assert daemon.call("Start", name="report")["results"][0]["fault"] == "SUCCESS"
    order = [name for name in daemon.spawned if name not in ("cache", "report")]
    assert order == ["db", "migrate", "web", "worker"], "each as soon as what it needs is there, and not before"
    log = daemon.log
    assert log.index("db entered RUNNING") < log.index("spawned: 'migrate'") < log.index("exited: migrate")
    assert log.index("exited: migrate") < log.index("spawned: 'web'") < log.index("web entered RUNNING")
    assert log.index("web entered RUNNING") < log.index("spawned: 'worker'")
    assert states(daemon).items() >= UP.items() and states(daemon)["cache"] == "FATAL"
    assert jobs(daemon) == 1

    before = daemon.processes()
    (daemon.directory / "port").unlink()
    os.kill(before["db"]["pid"], 9)
    daemon.wait(lambda: daemon.text("port") and states(daemon).items() >= UP.items(), "everything is back", 30)
    after = daemon.processes()
    assert jobs(daemon) == 2, "with what was there before"
    assert {name: after[name]["run"] - before[name]["run"] for name in ("db", "web", "migrate", "report")} == {
        "db": 1, "web": 1, "migrate": 0, "report": 0}
    assert after["report"]["pid"] == before["report"]["pid"], "who does not mind is not touched"
    assert after["worker"]["pid"] != before["worker"]["pid"]
    log = daemon.log[len(log):]
    assert log.index("db entered RUNNING") < log.index("spawned: 'web'") < log.index("web entered RUNNING")
    assert log.rindex("spawned: 'worker'") > log.index("web entered RUNNING")

    size = len(daemon.log)
    assert daemon.stop() == 0
    log = daemon.log[size:]
    assert log.index("stopped: worker") < log.index("stopped: web") < log.index("stopped: db (exit status 0)")
