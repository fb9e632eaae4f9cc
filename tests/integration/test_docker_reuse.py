"""Containers that are kept between runs (`reuse=True`): warm, and as clean as new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.parametrize("environment", ["docker"], indirect=True)

ANSWER = "answer['content'] = {}; answer['ready'] = True"
BOOT = "open('/proc/sys/kernel/random/boot_id').read(), open('/etc/hostname').read().strip()"
MESS = """
import ctypes, os, subprocess, sys
for path in ('/tmp/left', '/dev/shm/left', '/tmp/.hidden'): open(path, 'w').write('x')
os.makedirs('/tmp/deep/er'); os.symlink('/proc', '/tmp/link'); os.chmod('/tmp/deep', 0)
subprocess.Popen(['sh', '-c', 'trap "" TERM HUP INT; setsid sleep 600 & setsid sleep 600'],
                 start_new_session=True)
libc = ctypes.CDLL(None)
assert libc.shmget(4711, 4096, 0o1600) >= 0
"""
LOOK = """
import os
def names(folder): return sorted(os.listdir(folder))
commands = []
for pid in filter(str.isdecimal, os.listdir('/proc')):
    try: commands.append(open(f'/proc/{pid}/cmdline').read())
    except OSError: pass
found = [names('/tmp'), names('/dev/shm'), sum('sleep' in c for c in commands),
         len(open('/proc/sysvipc/shm').readlines()) - 1, len(os.listdir('/tmp/rlm'))]
"""


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def test_the_next_run_finds_a_warm_container_and_nothing_of_the_last(
    scripted: Callable[..., Any],
) -> None:
    who = "open('/etc/hostname').read().strip()"
    rlm = scripted(
        root=[
            cell(f"{MESS}\n{ANSWER.format(who)}"),
            cell(f"{LOOK}\n{ANSWER.format(f'({who}, found)')}"),
        ],
        environment_kwargs={"reuse": True},
    )
    first = rlm.completion("the first context").response
    again, found = eval(rlm.completion("the second context").response)
    assert again == first
    assert found == [["rlm"], [], 0, 0, 2]  # its own context, and its kernel's directory


def test_a_container_that_is_lost_is_not_used_again(scripted: Callable[..., Any]) -> None:
    who = "open('/etc/hostname').read().strip()"
    rlm = scripted(
        root=[
            cell(ANSWER.format(who)),
            cell("import os, time\nos.kill(-1, 9)\ntime.sleep(60)"),
            cell(ANSWER.format(who)),
            cell(ANSWER.format(who)),
        ],
        environment_kwargs={"reuse": True},
    )
    first = rlm.completion("x").response
    second = rlm.completion("x").response
    third = rlm.completion("x").response
    assert first != second == third


def test_two_of_the_same_kind_share_and_the_last_one_ends_them(
    scripted: Callable[..., Any],
) -> None:
    who = "open('/etc/hostname').read().strip()"
    options = {"environment_kwargs": {"reuse": True}}
    reply = cell(ANSWER.format(who))
    one, other, last = (scripted(root=[reply], **options) for _ in range(3))
    first = one.completion("x").response
    assert other.completion("x").response == first
    limited = {"environment_kwargs": {"reuse": True, "pids_limit": 1000}}
    assert scripted(root=[reply], **limited).completion("x").response != first
    one.close()
    other.close()
    assert last.completion("x").response != first
