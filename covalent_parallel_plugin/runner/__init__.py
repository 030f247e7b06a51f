"""The container's side: fetch a call, run it in a forked child, deliver an outcome.

Standard library only, in syntax that Python 3.7 reads. The dispatcher also ships this folder, `protocol` and
`errors` as an archive under another package name, so modules in here import these and each other
relatively, and nothing else of this package. In `sweep` a machine's side of a sweep is, which has `programs`, too.
"""
