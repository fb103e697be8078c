"""A mail server and a storage that speaks S3, both real: Dovecot, and OpenStack Swift. They run until the test session ends."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path

from tests import services

PASSWORD = "secret-of-the-tests"
DOVECOT = """
dovecot_config_version = {version}
dovecot_storage_version = {version}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/mail.log
protocols = imap
ssl = no
auth_allow_cleartext = yes
auth_mechanisms = plain
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
listen = 127.0.0.1
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
mail_plugins = acl
acl_driver = vfile
protocol imap {{
  mail_plugins {{
    imap_acl = yes
    acl = yes
  }}
}}
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    uid = {user}
    gid = {group}
    home = {folder}/mail/%{{user}}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
SWIFT = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
user = {user}
workers = 0
disable_fallocate = true
log_address = /dev/null
"""
STORE = "[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
PROXY = """
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {password} .admin
[filter:slo]
use = egg:swift#slo
"""


@cache
def dovecot() -> int:
    """Return the port of an IMAP server that knows every user by `PASSWORD`."""
    program = shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin") or services._missing("dovecot-imapd")
    user, group = ("nobody", "nogroup") if os.geteuid() == 0 else _self()
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    folder, port = services._folder(), services._free_port()
    for name in ("mail", "run", "state"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    shutil.chown(folder / "mail", user, group)
    (folder / "conf").write_text(
        DOVECOT.format(
            version=version.split("-")[0], folder=folder, user=user, group=group, port=port, password=PASSWORD
        )
    )
    started = services._start([program, "-F", "-c", folder / "conf"], folder, signal.SIGTERM)
    if not services._came_up(started, lambda: services._answers(port)):
        raise services._not_started("Dovecot", folder)
    return port


@cache
def swift() -> str:
    """Return the address of a storage with the key `test:tester` and the secret `PASSWORD`."""
    if not shutil.which("swift-proxy-server"):
        services._missing("swift-proxy swift-account swift-container swift-object")
    folder, user = services._folder(), getpass.getuser()
    (folder / "devices" / "one").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n[storage-policy:0]\nname = one\ndefault = yes\n"
    )
    surroundings = {**os.environ, "SWIFT_CONF_FILE": str(folder / "swift.conf")}
    ports = {kind: services._free_port() for kind in ("account", "container", "object", "proxy")}
    for kind, port in ports.items():
        more = PROXY.format(password=PASSWORD) if kind == "proxy" else STORE.format(kind=kind)
        (folder / f"{kind}.conf").write_text(SWIFT.format(port=port, folder=folder, user=user) + more)
        if kind != "proxy":
            _make_ring(folder / f"{kind}.builder", port)
    for kind, port in ports.items():
        command = [f"swift-{kind}-server", folder / f"{kind}.conf"]
        started = services._start(command, folder, env=surroundings)
        if not services._came_up(started, lambda port=port: services._answers(port)):
            raise services._not_started("Swift", folder)
    return f"http://127.0.0.1:{ports['proxy']}"


def _make_ring(builder: Path, port: int) -> None:
    for order in (["create", "2", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/one", "1"], ["rebalance"]):
        subprocess.run(["swift-ring-builder", builder, *order], check=True, capture_output=True)


def _self() -> tuple[str, str]:
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
