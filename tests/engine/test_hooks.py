"""Hooks with real processes: docs/lifecycle.md."""

import os
import pwd
import time

from tests.engine.conftest import Start

#: Every hook writes its name and what it is told into `trace`.
TRACE = "sh -c 'echo $SDSUPER_HOOK $SDSUPER_RUN $SDSUPER_EXIT_STATUS$SDSUPER_SIGNAL >>{dir}/trace'"
ALL = f"""
pre_start_hook={TRACE}
post_start_hook={TRACE}
pre_stop_hook={TRACE}
post_stop_hook={TRACE}
"""


def test_the_hooks_of_two_lives(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'echo run >>{dir}/trace; exec sleep 1000'\nstartsecs=0" + ALL)
    daemon.wait(lambda: {"post_start 1", "run"} <= set(daemon.text("trace").splitlines()), "it is up")
    daemon.call("Signal", name="web", signal="KILL")
    daemon.wait(lambda: "post_start 2" in daemon.text("trace") and daemon.text("trace").count("run") == 2, "again")
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    daemon.wait(lambda: "post_stop 2" in daemon.text("trace"), "the last hook")
    lines = daemon.text("trace").splitlines()
    assert [line.strip() for line in lines if line != "run"] == [
        "pre_start 1", "post_start 1", "post_stop 1 9", "pre_start 2", "post_start 2", "pre_stop 2", "post_stop 2 15"]
    assert lines.index("run") > 0


def test_one_that_fails_prevents_the_start_and_its_words_are_in_the_log(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartretries=1\nstartsecs=0\n"
                   "pre_start_hook=sh -c 'echo no disk; exit 4'")
    web = daemon.wait_state("web", "FATAL")
    assert web["spawnerr"] == "pre_start_hook: exit status 4"
    assert daemon.log.count("pre_start_hook of web: exit status 4") == 2, "each try has its hook"
    assert "pre_start_hook of web: no disk" in daemon.log and not daemon.spawned


def test_one_that_takes_too_long_is_ended_with_all_it_has_started(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartretries=0\nhook_timeout=1\n"
                   "pre_start_hook=sh -c 'sleep 900 & echo $! >{dir}/child; wait'")
    web = daemon.wait_state("web", "FATAL")
    assert web["spawnerr"] == "pre_start_hook: took longer than 1 seconds"
    child = int(daemon.text("child"))
    daemon.wait(lambda: not os.path.exists(f"/proc/{child}"), "what it had started is gone")


def test_one_that_cannot_be_run_says_so(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartretries=0\npre_start_hook=/no/such/thing -x")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "pre_start_hook: can't find command '/no/such/thing'"


def test_a_stop_ends_the_hook_before_a_start(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\npre_start_hook=sh -c 'echo $$ >{dir}/pid; exec sleep 900'")
    daemon.wait(lambda: daemon.text("pid").endswith("\n"), "the hook runs")
    assert daemon.status("web")["state"] == "STARTING"
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    pid = int(daemon.text("pid"))
    daemon.wait(lambda: not os.path.exists(f"/proc/{pid}"), "the hook is gone")
    assert not daemon.spawned and daemon.status("web")["state"] == "STOPPED"


def test_the_signal_comes_after_the_hook(start: Start) -> None:
    daemon = start("[program:web]\ncommand={python} -c \"import signal,time;"
                   "signal.signal(15,lambda *_:(open('{dir}/trace','a').write('term\\n'),exit()));"
                   "open('{dir}/up','w');time.sleep(1000)\"\nstartsecs=0\n"
                   "pre_stop_hook=sh -c 'sleep 0.3; echo hook >>{dir}/trace'")
    daemon.wait(lambda: (daemon.directory / "up").exists(), "it is up")
    daemon.call("Stop", name="web")
    assert daemon.text("trace").split() == ["hook", "term"]


def test_the_end_of_the_daemon_waits_for_the_last_hooks(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
                   "post_stop_hook=sh -c 'sleep 0.5; echo done >>{dir}/trace'")
    daemon.wait_state("web", "RUNNING")
    assert daemon.stop() == 0
    assert daemon.text("trace") == "done\n"


def test_a_hook_after_the_start_ends_with_the_process(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
                   "post_start_hook=sh -c 'echo $$ >{dir}/pid; exec sleep 50'")
    daemon.wait(lambda: daemon.text("pid").endswith("\n"), "the hook runs")
    pid = int(daemon.text("pid"))
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    daemon.wait(lambda: not os.path.exists(f"/proc/{pid}"), "the hook is gone")


def test_the_end_of_the_daemon_does_not_wait_for_a_hook_after_a_start(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
                   "post_start_hook=sh -c 'echo $$ >{dir}/pid; exec sleep 50'")
    daemon.wait(lambda: daemon.text("pid").endswith("\n"), "the hook runs")
    pid, begun = int(daemon.text("pid")), time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begun < 30 and not os.path.exists(f"/proc/{pid}")


def test_the_next_start_waits_for_the_last_hook(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'echo run >>{dir}/trace; exec sleep 1000'\nstartsecs=0\n"
                   "post_stop_hook=sh -c 'sleep 0.4; echo cleaned >>{dir}/trace'")
    daemon.wait(lambda: daemon.text("trace") == "run\n", "it is up")
    daemon.call("Stop", name="web")
    daemon.call("Start", name="web")
    daemon.wait(lambda: len(daemon.text("trace").split()) == 3, "it is up again")
    assert daemon.text("trace").split() == ["run", "cleaned", "run"]


def test_a_hook_is_the_users_and_has_the_programs_environment(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nuser=nobody\nenvironment=COLOUR=green\ndirectory=/usr\n"
                   "pre_start_hook=sh -c 'echo $(id -u) $COLOUR $PWD $SUPERVISOR_PROCESS_NAME; exit 1'\n"
                   "startretries=0\n")
    daemon.wait_state("web", "FATAL")
    assert f"pre_start_hook of web: {pwd.getpwnam('nobody').pw_uid} green /usr web" in daemon.log


def test_hooks_are_not_in_the_way_of_other_programs(start: Start) -> None:
    daemon = start("[program:slow]\ncommand=sleep 1000\npre_start_hook=sleep 900\n"
                   "[program:web]\ncommand=sleep 1000\nstartsecs=0\n")
    daemon.wait_state("web", "RUNNING")
    assert daemon.status("slow")["state"] == "STARTING"
    assert daemon.result("Stop", "web")[0] == "SUCCESS"


JOB = """
[program:job]
command=sh -c 'test -e {dir}/more && exec sleep 1000'
startsecs=0
autorestart=false
autostart=false
exitcodes=1
post_start_hook=sh -c 'echo begin >>{dir}/trace; until test -e {dir}/go; do sleep 0.02; done; echo done >>{dir}/trace'
post_stop_hook=sh -c 'echo over >>{dir}/trace'
"""


def test_a_job_that_is_done_first_leaves_its_hook_alone(start: Start) -> None:
    daemon = start(JOB)
    daemon.call("Start", name="job")
    daemon.wait_state("job", "EXITED")
    daemon.wait(lambda: daemon.text("trace") == "begin\n", "the hook runs")
    (daemon.directory / "go").touch()
    daemon.wait(lambda: daemon.text("trace") == "begin\ndone\nover\n", "one after the other")


def test_a_stop_the_next_run_and_the_end_of_the_daemon_end_the_hook_behind_a_start(start: Start) -> None:
    daemon = start(JOB)
    (daemon.directory / "more").touch()
    daemon.call("Start", name="job")
    daemon.wait(lambda: daemon.text("trace") == "begin\n", "the hook runs")
    assert daemon.result("Stop", "job")[0] == "SUCCESS"
    daemon.wait(lambda: daemon.text("trace") == "begin\nover\n", "it was ended by the stop")
    (daemon.directory / "more").unlink()
    daemon.call("Start", name="job")
    daemon.wait(lambda: daemon.text("trace").count("begin") == 2, "another one runs")
    daemon.wait_state("job", "EXITED")
    daemon.call("Start", name="job")
    daemon.wait(lambda: daemon.text("trace") == "begin\nover\nbegin\nover\nbegin\n", "by the next run")
    daemon.wait_state("job", "EXITED")
    assert daemon.stop() == 0 and daemon.text("trace").endswith("begin\nover\n")


def test_the_hook_behind_a_stop_is_that_of_the_run_that_has_ended(start: Start) -> None:
    text = ("[program:web]\ncommand=sleep 1000\nstartsecs=0\npre_stop_hook=sh -c 'kill $SDSUPER_PID; exec sleep 900'\n"
            "post_stop_hook=sh -c 'echo old >>{dir}/trace'\n")
    daemon = start(text)
    daemon.wait_state("web", "RUNNING")
    daemon.write(text.replace("old", "new").replace("sleep 1000", "sleep 1001"))
    daemon.call("Update")       # the end of the first hook is waited for, and the options are others by then
    daemon.wait_state("web", "RUNNING")
    assert daemon.text("trace") == "old\n"
