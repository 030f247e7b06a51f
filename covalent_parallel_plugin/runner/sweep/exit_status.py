"""What goes wrong on a machine, as a message and an exit status."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from ...protocol import exit_codes
from ...protocol.envelope import WireError
from ..bucket_http import BucketError
from ..outcome_report import DISK_FULL
from ..output_capture import say


def exit_status(run: Callable[[], int], refused: str, failed: str) -> int:
    """Return what `run` returns, or the status for what it raised (see `protocol.exit_codes`).

    Args:
        refused: what to say where something in the bucket is not the one that was sealed.
        failed: what to say of a defect.
    """
    try:
        return run()
    except BucketError as error:
        say(str(error))
        return error.exit_status
    except WireError as error:
        say("%s: %s" % (refused, error))
        return exit_codes.EXIT_BAD_DIGEST
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            say("the machine's disk is full: raise boot_disk_gb: %s" % error)
            return exit_codes.EXIT_NO_SPACE
        say("%s\n%s" % (failed, traceback.format_exc()))
        return exit_codes.EXIT_RUNNER_FAILED
