"""Qt's own accessors, taken before attributes.py changes what attribute access means."""

from __future__ import annotations

from PySide6.QtCore import QObject

get = QObject.__getattribute__
qt_property = QObject.property
meta_object = QObject.metaObject
