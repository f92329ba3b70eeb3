"""Stands in for a package that Jupyter's event schemas load if it is there, and that spends 3 s building a grammar.

The schemas check IRIs with it; without it they leave that check out. Found first on PYTHONPATH in `make test` only.
"""

raise ImportError("left out to start quickly")
