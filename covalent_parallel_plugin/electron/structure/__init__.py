"""The structure of a call: a key that is the same for equal calls, read from pickles that are never loaded."""
