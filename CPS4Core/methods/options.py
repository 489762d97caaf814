"""A method's own options: declared beside it, given as `stage2.options`, checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from CPS4Core.errors import CPS4Error

Weight = Annotated[float, Field(ge=0)]
"""Of a loss term."""


class MethodOptions(BaseModel):
    """Base of `Method.Options`; every option has a default. The base has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Chosen = TypeVar("Chosen", bound=MethodOptions)


def read_options(kind: type[Chosen], given: Mapping[str, Any], method: str) -> Chosen:
    """The options of `method` with what is given; raises CPS4Error naming the wrong one."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        raise CPS4Error(
            f"Option stage2.options.{wrong} of the method '{method}': {first['msg']}",
            cure=f"The method's options: {known}",
        ) from error
