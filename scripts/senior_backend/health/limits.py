"""How many connections this process may have open."""

from __future__ import annotations

RESERVED_DESCRIPTORS = 64
MAX_OPEN = 4096


def open_limit_of_process() -> int:
    """Raise the soft limit of descriptors to the hard one; return how many connections fit beside what is open."""
    try:
        import resource
    except ImportError:  # Windows
        return 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN + RESERVED_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            wanted = soft
    else:
        wanted = min(wanted, soft) if soft != resource.RLIM_INFINITY else wanted
    return max(4, wanted - RESERVED_DESCRIPTORS)
