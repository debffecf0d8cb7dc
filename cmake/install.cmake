# cmake --install: programs, what belongs to them under share/, and the libraries without torch for find_package(imgpack).
#
#   PREFIX/bin             imgpack imgbench imgtrain
#   PREFIX/lib             libimgpack_*.a, libimgtrain_data.a …, cmake/imgpack/
#   PREFIX/include/imgpack format/… engine/data/…      #include "format/dataset.h", as in this project
#   PREFIX/share           imgpack/{recipes,schemas,scripts}, doc/imgpack, man/man1, shell completions
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(programs imgpack imgbench)
if(TARGET imgtrain)
  list(APPEND programs imgtrain)
endif()
# Libraries that a package brings along lie in lib/imgpack; libtorch stays where it was found.
set_target_properties(${programs} PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/imgpack" INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS ${programs} RUNTIME COMPONENT programs)

# Pages and completions are what the installed program itself prints.
foreach(program ${programs})
  install(CODE "
    set(program \"$<TARGET_FILE:${program}>\")
    set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
    set(bash_file ${program})
    set(zsh_file _${program})
    set(fish_file ${program}.fish)
    set(bash_folder bash-completion/completions)
    set(zsh_folder zsh/site-functions)
    set(fish_folder fish/vendor_completions.d)
    foreach(shell bash zsh fish)
      file(MAKE_DIRECTORY \"\${share}/\${\${shell}_folder}\")
      execute_process(COMMAND \${program} completion \${shell} COMMAND_ERROR_IS_FATAL ANY
        OUTPUT_FILE \"\${share}/\${\${shell}_folder}/\${\${shell}_file}\")
    endforeach()
    execute_process(COMMAND \${program} man --output \"\${share}/man/man1\" COMMAND_ERROR_IS_FATAL ANY)
  " COMPONENT programs)
endforeach()

install(DIRECTORY engine/recipes schemas DESTINATION ${CMAKE_INSTALL_DATADIR}/imgpack COMPONENT programs)
install(DIRECTORY scripts/aws scripts/requirements DESTINATION ${CMAKE_INSTALL_DATADIR}/imgpack/scripts
  USE_SOURCE_PERMISSIONS COMPONENT programs)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT programs)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT programs)

# The libraries. What sees torch stays inside: its interfaces are tied to one release of libtorch and to this program.
set(libraries
  format=imgpack_format jpeg=imgpack_jpeg ingest=imgpack_ingest remote=imgpack_remote data=imgtrain_data compile_options=imgpack_compile_options
  boost_asio=boost_asio)
foreach(pair ${libraries})
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 target)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS ${target} EXPORT imgpackTargets ARCHIVE COMPONENT development)
endforeach()
foreach(folder format engine/data)
  install(DIRECTORY ${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/imgpack/${folder} COMPONENT development
    FILES_MATCHING PATTERN "*.h")
endforeach()
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/imgpack)
install(EXPORT imgpackTargets NAMESPACE imgpack:: DESTINATION ${package_folder} COMPONENT development)
configure_package_config_file(cmake/imgpackConfig.cmake.in ${PROJECT_BINARY_DIR}/imgpackConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/imgpackConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/imgpackConfig.cmake ${PROJECT_BINARY_DIR}/imgpackConfigVersion.cmake
  DESTINATION ${package_folder} COMPONENT development)
