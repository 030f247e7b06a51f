"""An executor that runs nothing: it sleeps, and returns a value. Covalent loads it from the folder that it is in."""

import asyncio

from covalent._workflow.transport import TransportableObject
from covalent.executor.base import AsyncBaseExecutor

EXECUTOR_PLUGIN_NAME = "SleepingExecutor"
_EXECUTOR_PLUGIN_DEFAULTS = {"seconds": 0.0}

NOTHING = TransportableObject(None)


class SleepingExecutor(AsyncBaseExecutor):
    """What Covalent requires of an executor, and no more."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds

    async def run(self, function, args, kwargs, task_metadata):
        await asyncio.sleep(self.seconds)
        return NOTHING
