"""How long a thread that computes keeps a processor before threads with a word to pass on may have it."""

from __future__ import annotations

import ctypes
import platform

# Linux waits until a thread has had its slice before it lets another in; only one with a shorter slice it lets in
# at once. The common slice is a millisecond or two, which a first token pays at every process it passes through.
SLICE_NANOSECONDS = 20_000_000
# sched_setattr and sched_getattr, which glibc has no functions for before 2.41.
CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}


class _Attributes(ctypes.Structure):
    """`struct sched_attr` of the kernel, in its first form."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def take_long_turns() -> bool:
    """For the calling thread and those that it starts from now on; whether the system could be told.

    The share of the processor stays the same, and so do policy and niceness. Linux heeds it since 6.12, earlier ones
    take no notice; other systems are not asked.
    """
    if platform.system() != "Linux" or platform.machine() not in CALLS:
        return False
    change, read = CALLS[platform.machine()]
    system = ctypes.CDLL(None).syscall
    attributes = _Attributes()
    if system(read, 0, ctypes.byref(attributes), ctypes.sizeof(attributes), 0):
        return False
    attributes.runtime = SLICE_NANOSECONDS
    return bool(system(change, 0, ctypes.byref(attributes), 0) == 0)
