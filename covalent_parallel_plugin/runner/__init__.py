"""The container's side: fetch a call, run it in a forked child, deliver an outcome.

Standard library only, in syntax that Python 3.7 reads. The dispatcher also ships this folder and `wire` as an archive
under another package name, so modules in here import each other relatively and nothing else of this package.
"""
