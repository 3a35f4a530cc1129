"""Programs as users write them, which nobody runs: mypy and basedpyright read them, both strict.

``assert_type`` says what something is.  What must be refused stands with a comment for each of
the two that ignores it; a comment that has nothing to ignore is an error.
"""
