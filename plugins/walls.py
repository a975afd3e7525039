"""What shuts a child in before it runs a user's code: no network, no files but the interpreter's, no new processes, limits.

Seccomp filters and Landlock (the Linux kernel's documentation, userspace-api/seccomp_filter and userspace-api/landlock) need no
rights of root. Where a kernel has one of them not, the child goes on without that wall and says so.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# linux/prctl.h, linux/seccomp.h, linux/filter.h, linux/audit.h.
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ARCHITECTURE_AT: Final = 4
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
# Calls of another width have numbers of their own there.
_OTHER_WIDTH: Final = 0x40000000
# The calls by which a process gets a connection, another process, or into another process: socket, socketpair, clone, fork,
# vfork, execve, ptrace, rt_sigqueueinfo, mount, tkill, keyctl, unshare, rt_tgsigqueueinfo, perf_event_open, setns,
# process_vm_readv and _writev, bpf, execveat, userfaultfd, pidfd_send_signal, io_uring_setup, clone3.
_X86_64: Final = (41, 53, 56, 57, 58, 59, 101, 129, 165, 200, 250, 272, 297, 298, 308, 310, 311, 321, 322, 323, 424, 425, 435)
_AARCH64: Final = (198, 199, 220, 221, 117, 138, 40, 130, 219, 97, 240, 241, 268, 270, 271, 280, 281, 282, 424, 425, 435)
# kill and tgkill, by which a process ends itself as well.
_REFUSED: Final = {"x86_64": (0xC000003E, _X86_64, (62, 234)), "aarch64": (0xC00000B7, _AARCH64, (129, 131))}
_FIRST_ARGUMENT_AT: Final = 16
# linux/landlock.h; the numbers of the calls are the same on every machine.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
_TCP: Final = 0b11
_TCP_SINCE: Final = 4
_SCOPED: Final = 0b11
_SCOPED_SINCE: Final = 6
# Of what a strategy may write, which is nothing but its last words.
_FILE_BYTES_MAX: Final = 2**20


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("if_so", ctypes.c_uint8), ("if_not", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refuse_calls() -> bool:
    """Have the kernel refuse this thread new connections and processes, and the memory and the signals of others, for ever."""
    if sys.platform != "linux" or platform.machine() not in _REFUSED:
        return False
    architecture, numbers, (kill, kill_thread) = _REFUSED[platform.machine()]
    rows = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    # A signal is for this process itself, or refused.
    end = [
        *((_IF_EQUAL, 1, 0, kill), (_IF_EQUAL, 0, 2, kill_thread)),
        *((_LOAD, 0, 0, _FIRST_ARGUMENT_AT), (_IF_EQUAL, 0, 1, os.getpid())),
        *((_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)),
    ]
    # Each jumps over those after it to the refusal, which is the last of all.
    jumps = [(_IF_AT_LEAST, _OTHER_WIDTH), *((_IF_EQUAL, number) for number in numbers)]
    rows += [(code, len(jumps) - place + len(end) - 2, 0, value) for place, (code, value) in enumerate(jumps)]
    rows += end
    instructions = (_Instruction * len(rows))(*(_Instruction(*row) for row in rows))
    program = _Program(len(rows), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def shut_files(readable: Iterable[Path]) -> bool:
    """Let this process read what lies beneath some folders and nothing else, connect to nothing, and signal nobody."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return False
    rights = (1 << max(count for since, count in _FILE_RIGHTS if since <= version)) - 1
    asked = _Ruleset(rights, _TCP if version >= _TCP_SINCE else 0, _SCOPED if version >= _SCOPED_SINCE else 0)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(ctypes.sizeof(asked)), 0)
    if ruleset < 0:
        return False
    for path in readable:
        _allow(libc, ruleset, path)
    is_shut = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(is_shut)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    if not path.exists():
        return
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = _READ_FILE | _EXECUTE | (_READ_DIR if path.is_dir() else 0)
    libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_PathBeneath(rights, place)), 0)
    os.close(place)


def interpreter_paths() -> list[Path]:
    """Name what a program of Python reads as it runs."""
    roots = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    system = ("/usr", "/lib", "/lib64", "/etc/localtime", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/dev/zero")
    return [*sorted(root.resolve() for root in roots), *map(Path, system)]


def set_limits(*, megabytes: int) -> None:
    """Bound memory and files, and leave no core behind."""
    memory = megabytes * 2**20
    _lower(resource.RLIMIT_AS, memory)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES_MAX)
    _lower(resource.RLIMIT_CORE, 0)


def allow_seconds(seconds: float) -> None:
    """Let the process use so many further seconds of a processor: it ends itself even if nobody is left to end it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds) + 1, hard))


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
