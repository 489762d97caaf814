# The folders and the macro of a Slicer build; see SlicerConfig.cmake.

set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.10/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.10/qt-scripted-modules")

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords: ${module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT module_NAME OR NOT module_SCRIPTS)
    message(FATAL_ERROR "NAME and SCRIPTS are mandatory")
  endif()

  set(module_target "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(module_installed "${module_target}/")
  if(module_WITH_SUBDIR)
    get_filename_component(module_subdir "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    set(module_target "${module_target}/${module_subdir}")
    set(module_installed "${module_target}")
  endif()

  set(module_copies)
  foreach(module_kind SCRIPTS RESOURCES)
    foreach(module_file ${module_${module_kind}})
      get_filename_component(module_extension "${module_file}" EXT)
      if(module_kind STREQUAL "SCRIPTS" AND NOT module_extension MATCHES "py")
        set(module_file "${module_file}.py")
      endif()
      if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}")
        message(FATAL_ERROR "${module_NAME} lists the nonexistent file ${module_file}")
      endif()
      add_custom_command(
        OUTPUT "${module_target}/${module_file}"
        DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}"
        COMMAND ${CMAKE_COMMAND} -E copy
          "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}" "${module_target}/${module_file}"
        )
      list(APPEND module_copies "${module_target}/${module_file}")
    endforeach()
  endforeach()
  add_custom_target(Copy${module_NAME}PythonFiles ALL DEPENDS ${module_copies})

  install(DIRECTORY "${module_installed}"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    COMPONENT RuntimeLibraries
    USE_SOURCE_PERMISSIONS
    )
endmacro()

function(slicer_add_python_unittest)
  cmake_parse_arguments(test "" "SCRIPT" "" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${test_SCRIPT}")
    message(FATAL_ERROR "There is no test script ${test_SCRIPT}")
  endif()
endfunction()
