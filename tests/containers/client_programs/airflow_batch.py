"""Use Airflow's hooks for Batch as its operators do; prints one JSON object: what was done -> what came of it."""

import asyncio
import json
import os
import sys

import grpc
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.google.cloud.hooks.cloud_batch import CloudBatchAsyncHook, CloudBatchHook
from google.api_core import grpc_helpers_async

# Beside what emulator_site does for other channels: the endpoint, without credentials
grpc_helpers_async.create_channel = lambda *_, **__: grpc.aio.insecure_channel(os.environ["BATCH_EMULATOR_HOST"])
WHERE = {"region": "us-central1", "project_id": "local"}
hook = CloudBatchHook()
done = {}


def submit(name, script):
    task = {"runnables": [{"script": {"text": script}}]}
    job = {"taskGroups": [{"taskCount": "2", "taskSpec": task}], "logsPolicy": {"destination": "CLOUD_LOGGING"}}
    return hook.submit_batch_job(job_name=name, job=job, **WHERE).name


async def state_of(job):
    return (await CloudBatchAsyncHook().get_batch_job(job_name=job)).status.state.name


job = submit("airflow-well", "echo task $BATCH_TASK_INDEX")
done["well"] = hook.wait_for_job(job_name=job, polling_period_seconds=0.2, timeout=60).status.state.name
done["tasks"] = [task.status.state.name for task in hook.list_tasks(job_name="airflow-well", **WHERE)]
done["listed"] = [found.name for found in hook.list_jobs(filter="status.state=SUCCEEDED", limit=1, **WHERE)] == [job]
done["asynchronous"] = asyncio.run(state_of(job))
failing = submit("airflow-failing", "exit 3")
try:
    hook.wait_for_job(job_name=failing, polling_period_seconds=0.2, timeout=60)
except AirflowException as error:
    done["failing"] = str(error)
done["deleted"] = hook.delete_job(job_name="airflow-well", **WHERE).result(timeout=30) is not None
done["left"] = [found.name.rpartition("/")[2] for found in hook.list_jobs(**WHERE)]
json.dump(done, sys.stdout)
