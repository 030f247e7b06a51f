"""Exit codes of the runner.

0 means that an outcome was delivered; every other one says why none was. They follow sysexits.h where it has a fitting
name. Short, as no other module of the package may define one: `batch.job_verdict` has what each of them means to a
user.
"""

EXIT_DELIVERED = 0
EXIT_BAD_DIGEST = 65  # EX_DATAERR: the runner's archive or the call is not what the job pins
EXIT_NO_CALL = 66  # EX_NOINPUT: the call is not in the bucket
EXIT_BUCKET_UNREADABLE = 69  # EX_UNAVAILABLE: the bucket refuses or cannot be reached
EXIT_RUNNER_FAILED = 70  # EX_SOFTWARE: a defect of the runner
EXIT_NOT_DELIVERED = 73  # EX_CANTCREAT: the outcome could not be written
EXIT_RETRY_EXCEPTION = 75  # EX_TEMPFAIL: the electron raised and is to be tried again
EXIT_WRONG_PYTHON = 78  # EX_CONFIG: the image's Python cannot run the runner or the call
EXIT_TERMINATED = 143  # 128 + SIGTERM: the machine is being taken away
