"""Fillbook answers one question from fills: are we actually making money, and why?"""

__version__ = "0.1.0"
