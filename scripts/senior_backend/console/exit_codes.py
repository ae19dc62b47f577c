"""The exit codes that all tools share."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a finished process says about its work; "nothing was checked" is never OK."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNDECIDED = 3
    ENVIRONMENT = 4
    REFUSED = 5
    INTERNAL = 70
    INTERRUPTED = 130


EPILOG = """\
exit codes:
  0    done, and everything checked holds
  1    done, and something checked does not hold
  2    nothing was done: the call or its input is wrong
  3    not decided: a choice is needed, or the measurement is not valid
  4    environment: target unreachable, driver missing, no permission
  5    refused by a safety rail
  70   a bug in this tool (a traceback is on standard error)
  130  interrupted; what was done so far is reported
"""
