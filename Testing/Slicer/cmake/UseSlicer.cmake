# Stands in for Slicer's macros: the same arguments, the same folders, the same refusals. A relative path keeps its
# folders below the destination, also where it begins with "..", as it does in Slicer.
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(_MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(_MODULE_UNPARSED_ARGUMENTS OR NOT _MODULE_NAME OR NOT _MODULE_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: bad arguments: ${ARGN}")
  endif()
  set(_destination "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(_installed "${_destination}/")  # with the slash: what the folder holds, not the folder
  if(_MODULE_WITH_SUBDIR)
    get_filename_component(_folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    set(_destination "${_destination}/${_folder}")
    set(_installed "${_destination}")
  endif()
  set(_copies)
  foreach(_file IN LISTS _MODULE_SCRIPTS _MODULE_RESOURCES)
    set(_from "${CMAKE_CURRENT_SOURCE_DIR}/${_file}")
    if(NOT EXISTS "${_from}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule: no such file: ${_file}")
    endif()
    add_custom_command(OUTPUT "${_destination}/${_file}" DEPENDS "${_from}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${_from}" "${_destination}/${_file}")
    list(APPEND _copies "${_destination}/${_file}")
  endforeach()
  add_custom_target(${_MODULE_NAME}Copies ALL DEPENDS ${_copies})
  install(DIRECTORY "${_installed}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}")
  if(BUILD_TESTING AND _MODULE_WITH_GENERIC_TESTS)  # Slicer writes a script of its own that loads the module
    add_test(NAME py_nomainwindow_${_MODULE_NAME}
      COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --testing --no-main-window --disable-cli-modules)
  endif()
endmacro()

# Tests as ctest lists them; it lists the commands of programs that are there, so CMake stands for Slicer.
set(Slicer_LAUNCHER_EXECUTABLE "${CMAKE_COMMAND}")
if(BUILD_TESTING)
  enable_testing()
endif()

macro(slicer_add_python_test)
  cmake_parse_arguments(_TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS;SCRIPT_ARGS" ${ARGN})
  set(_script "${CMAKE_CURRENT_SOURCE_DIR}/${_TEST_SCRIPT}")
  if(_TEST_UNPARSED_ARGUMENTS OR NOT EXISTS "${_script}")
    message(FATAL_ERROR "slicer_add_python_test: no such file: ${_TEST_SCRIPT}")
  endif()
  get_filename_component(_name "${_TEST_SCRIPT}" NAME_WE)
  add_test(NAME py_${_TEST_TESTNAME_PREFIX}${_name}
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --testing ${_TEST_SLICER_ARGS}
    --python-script "${_script}" ${_TEST_SCRIPT_ARGS})
endmacro()

macro(slicer_add_python_unittest)
  cmake_parse_arguments(_TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(_TEST_UNPARSED_ARGUMENTS OR NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_TEST_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest: no such file: ${_TEST_SCRIPT}")
  endif()
  get_filename_component(_name "${_TEST_SCRIPT}" NAME_WE)
  add_test(NAME py_${_TEST_TESTNAME_PREFIX}${_name}
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --testing ${_TEST_SLICER_ARGS} --python-code "${_name}")
endmacro()
