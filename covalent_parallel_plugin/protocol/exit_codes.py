"""Exit codes of the runner.

0 means that an outcome was delivered; every other one says why none was. They follow sysexits.h where it has a fitting
name. Short, as no other module of the package may define one: `batch.job_verdict` has what each of them means to a
user.
"""

EXIT_DELIVERED = 0  # one was delivered, also that of an exception
EXIT_BAD_DIGEST = 65  # EX_DATAERR: the call in the bucket is not the one that was sealed
EXIT_NO_CALL = 66  # EX_NOINPUT: the call is not in the bucket
EXIT_BUCKET_UNREACHABLE = 68  # EX_NOHOST: the bucket could not be reached, or gave no proper answer, for two minutes
EXIT_BUCKET_UNREADABLE = 69  # EX_UNAVAILABLE: the bucket may not be read
EXIT_RUNNER_FAILED = 70  # EX_SOFTWARE: a defect of the runner
EXIT_NO_SPACE = 71  # EX_OSERR: the container has no room to write to
EXIT_NO_RUNNER = 72  # EX_OSFILE: the runner's archive is not in the bucket
EXIT_NOT_DELIVERED = 73  # EX_CANTCREAT: the outcome may not be written
EXIT_DELIVERY_FAILED = 74  # EX_IOERR: the outcome could not be written, for two minutes
EXIT_RETRY_EXCEPTION = 75  # EX_TEMPFAIL: raised or was killed, runs again (`retry_exceptions`, a sweep's `retry_on`)
EXIT_BAD_RUNNER = 76  # EX_PROTOCOL: the runner's archive in the bucket is not the one that the job pins
EXIT_WRONG_PYTHON = 78  # EX_CONFIG: the image's Python is too old
EXIT_NO_MODULES = 79  # the electron's own modules are not in the bucket, or not those that the call pins
EXIT_TERMINATED = 143  # stopped by SIGTERM
