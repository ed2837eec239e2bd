# Stands in for the files that describe and pack an extension: what they need must be there.
foreach(_name IN ITEMS HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if(NOT DEFINED EXTENSION_${_name})
    message(FATAL_ERROR "EXTENSION_${_name} is not set")
  endif()
endforeach()
