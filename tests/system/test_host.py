import grp
import os
import pwd

import pytest

from sdsuper.system.host import MAX_BYTES, RealHost


def test_snapshot(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDSUPER_HOST", "1")
    host = RealHost()
    monkeypatch.setenv("SDSUPER_HOST", "2")
    os.chdir("/")
    assert (host.environ["SDSUPER_HOST"], host.cwd, host.uid) == ("1", str(tmp_path), os.getuid())
    assert host.node == os.uname().nodename


def test_temporary_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert RealHost().tempdir == str(tmp_path)
    monkeypatch.setenv("TMPDIR", "/nope")
    assert RealHost().tempdir == "/tmp"


def test_read(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"x\n")
    path.chmod(0o644)
    assert RealHost().read(str(path)) == (b"x\n", None)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert RealHost().read(str(link)).data == b"x\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root has somebody to distrust")
def test_distrust(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"")
    for mode, word in ((0o666, "everybody"), (0o660, "its group")):
        path.chmod(mode)
        assert RealHost().read(str(path)).distrust == f"the file can be written by {word}, who can run anything as root"
    path.chmod(0o644)
    os.chown(path, 1234, -1)
    assert RealHost().read(str(path)).distrust == "the file belongs to uid 1234, who can run anything as root"


def test_read_refuses_what_is_no_file(tmp_path):
    host = RealHost()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="is not a regular file"):
        host.read(str(tmp_path / "fifo"))  # and does not hang
    with pytest.raises(ValueError, match="is not a regular file"):
        host.read("/dev/zero")
    with pytest.raises(IsADirectoryError):
        host.read(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        host.read(str(tmp_path / "none"))
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="is larger than 16 MiB"):
        host.read(str(tmp_path / "large"))


def test_glob(tmp_path):
    for name in ("b.conf", "a.conf", ".hidden.conf", "x.ini"):
        (tmp_path / name).touch()
    host = RealHost()
    assert host.glob(f"{tmp_path}/*.conf") == [f"{tmp_path}/a.conf", f"{tmp_path}/b.conf"]
    assert host.glob(f"{tmp_path}/x.ini") == [f"{tmp_path}/x.ini"]
    assert host.glob(f"{tmp_path}/none") == []


def test_directories(tmp_path):
    host = RealHost()
    assert host.is_dir(str(tmp_path)) and host.exists(str(tmp_path))
    assert not host.is_dir(f"{tmp_path}/none") and not host.exists(f"{tmp_path}/none")
    assert host.expand_user("~root/x") == f"{pwd.getpwnam('root').pw_dir}/x"


def test_accounts():
    host = RealHost()
    root = host.user("root")
    assert root is not None and root == host.user(0)
    assert (root.name, root.uid, root.gid, root.shell) == ("root", 0, 0, pwd.getpwnam("root").pw_shell)
    nobody = pwd.getpwnam("nobody")
    found = host.user("nobody", 0)
    assert found is not None
    assert (found.uid, found.gid, found.groups) == (nobody.pw_uid, 0, tuple(sorted(set(os.getgrouplist("nobody", 0)))))
    assert host.group("root") == host.group(0) == 0
    assert host.group(grp.getgrall()[-1].gr_name) == grp.getgrall()[-1].gr_gid


@pytest.mark.parametrize("name", ["0day", "0x0", "-1", "nobody ", "", "no\0body", 4294967295, -1, 1 << 70])
def test_unknown_accounts_are_never_root(name):
    assert RealHost().user(name) is None
    assert RealHost().group(name) is None
