"""Own options of a method or an objective: declared beside it, given as `stage2.options` or
`stage1.options`, checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from CPS4Core.errors import CPS4Error

Weight = Annotated[float, Field(ge=0)]
"""Of a loss term."""


class MethodOptions(BaseModel):
    """Base of `Method.Options` and `Objective.Options`; every option has a default. The base has
    none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Chosen = TypeVar("Chosen", bound=MethodOptions)


def read_options(
    kind: type[Chosen], given: Mapping[str, Any], owner: str, stage: str = "stage2"
) -> Chosen:
    """The options of `owner`, a method of stage 2 or an objective of stage 1, with what is given.

    Raises CPS4Error naming the wrong one.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        kind_of = "method" if stage == "stage2" else "objective"
        raise CPS4Error(
            f"Option {stage}.options.{wrong} of the {kind_of} '{owner}': {first['msg']}",
            cure=f"The {kind_of}'s options: {known}",
        ) from error
