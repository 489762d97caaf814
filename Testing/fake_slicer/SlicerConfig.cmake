# Stands in for a Slicer build tree where an extension is configured: find_package(Slicer) finds it
# by -DSlicer_DIR. It has what the extension's CMake files use, and does with their files what Slicer
# 5.10's CMake/SlicerMacroBuildScriptedModule.cmake and CTK's ctkMacroCompilePythonScript.cmake do:
#
# - every script and resource has to exist, unknown keywords are errors, SCRIPTS may not be empty;
# - each file is copied by itself, keeping the path it was listed with (a listed folder fails);
# - the target is the scripted modules' folder, WITH_SUBDIR one below it, named like the source
#   folder, which is then the only one that this module installs.
#
# Left out: byte compilation, translations, packaging.

set(Slicer_FOUND TRUE)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/CheckExtension.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CheckExtension.cmake")
