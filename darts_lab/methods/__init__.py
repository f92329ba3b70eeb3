"""A method is data: what a search does with alpha and with the weights beside the plain bilevel steps."""

from darts_lab.methods.method import Method, clip, softmax
from darts_lab.methods.named import DROP_PATHS, L2_FACTORS, METHODS, PORTION, WAITING, get

__all__ = ["Method", "clip", "softmax", "DROP_PATHS", "L2_FACTORS", "METHODS", "PORTION", "WAITING", "get"]
