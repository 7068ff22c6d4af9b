"""Tables that a seed fixes: kept before a change of the code, computed again after it, and compared number by number.

It uses public names and the shell command alone, so that it runs unchanged on a tree whose modules have moved.
"""
