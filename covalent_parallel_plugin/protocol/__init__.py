"""What the dispatcher and the container agree on, in the standard library alone and in syntax that Python 3.7 reads.

The runner's archive has these modules under another package name, so they import each other relatively and nothing else
of this package but `errors`.
"""
