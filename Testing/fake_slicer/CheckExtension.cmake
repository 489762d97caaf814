# What Slicer's SlicerExtensionCPack.cmake demands of an extension before it packs one.

foreach(variable EXTENSION_HOMEPAGE EXTENSION_CONTRIBUTORS EXTENSION_DESCRIPTION EXTENSION_DEPENDS)
  if("${${variable}}" STREQUAL "")
    message(FATAL_ERROR "${variable} is not defined or empty")
  endif()
endforeach()
foreach(variable EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${variable}}")
    message(FATAL_ERROR "${variable} points to no file: ${${variable}}")
  endif()
endforeach()
