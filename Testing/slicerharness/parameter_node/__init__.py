"""`slicer.parameterNodeWrapper`: typed attributes on a parameter node, and their widgets.

Written after Slicer's documentation: bool, int, float, str, paths, nodes and Optional of these;
Slicer has more (lists, packs, enums), which raise here. Like Slicer's up to 5.12, connectGui()
returns None, so that disconnectGui() needs the tag of connectParametersToGui() to do anything
(Slicer issue 7547).
"""

from __future__ import annotations

from slicerharness.parameter_node.gui_connectors import Decimals, SingleStep
from slicerharness.parameter_node.validators import (
    Choice,
    Default,
    Exclude,
    Maximum,
    Minimum,
    Validator,
    WithinRange,
)
from slicerharness.parameter_node.wrapper import (
    SlicerParameterNamePropertyName,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
