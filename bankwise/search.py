"""Moved to bankwise.searching; to be deleted once nothing imports it."""

from bankwise.searching import *  # noqa: F403
