"""A machine's side of a sweep: make Python ready for any image, and run a task's program in it.

It runs on the dispatcher's minor version of Python. The rest of the runner has to read on older ones.
"""
