"""Errors of a section's slots go to the user, in the panel's own message line."""

import functools
from collections.abc import Callable
from typing import Any

from CPS4Core.errors import CPS4Error


def says_errors(slot: Callable) -> Callable:
    """A section's slot that tells the user of a CPS4Error instead of raising it."""

    @functools.wraps(slot)
    def told(self: Any, *arguments: Any) -> Any:
        try:
            return slot(self, *arguments)
        except CPS4Error as error:
            self.panel.say(str(error), "error")
            return None

    return told
