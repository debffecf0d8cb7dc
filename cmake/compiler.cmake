# How this project's own code is compiled: warnings, sanitizers, and ccache where it is installed.
find_package(Threads REQUIRED)

add_library(imgpack_compile_options INTERFACE)
# Warnings are for this project's own code; what find_package(imgpack) hands on is the language and the headers' place.
target_compile_features(imgpack_compile_options INTERFACE cxx_std_20)
target_compile_options(imgpack_compile_options INTERFACE
  "$<BUILD_INTERFACE:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual;-Wimplicit-fallthrough>")
# g++ 12 reports overlapping copies in its own std::string operator+ (GCC bug 105329).
target_compile_options(imgpack_compile_options INTERFACE $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>>)
if(IMGPACK_WERROR)
  target_compile_options(imgpack_compile_options INTERFACE $<BUILD_INTERFACE:-Werror>)
endif()
target_include_directories(imgpack_compile_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
  $<INSTALL_INTERFACE:include/imgpack>)
target_link_libraries(imgpack_compile_options INTERFACE Threads::Threads)

if(IMGPACK_SANITIZE STREQUAL "address")
  set(sanitize_flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(IMGPACK_SANITIZE STREQUAL "thread")
  set(sanitize_flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(NOT IMGPACK_SANITIZE STREQUAL "")
  message(FATAL_ERROR "IMGPACK_SANITIZE is '${IMGPACK_SANITIZE}': expected empty, address or thread")
endif()
if(sanitize_flags)
  add_compile_options(${sanitize_flags})
  add_link_options(${sanitize_flags})
endif()
if(IMGPACK_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # Coverage, which steers the fuzzer, in every library of ours.
endif()

# Coverage feedback for the engines of tests/fuzz; each engine links its own main.
if(IMGPACK_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "IMGPACK_FUZZ needs clang's libFuzzer, found ${CMAKE_CXX_COMPILER_ID}. Use --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# ccache needs to be told that a precompiled header is an ordinary input.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
endif()

# imgpack_library(NAME PUBLIC … PRIVATE …): a static library of every .cc file of the calling folder.
function(imgpack_library name)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE imgpack_compile_options ${ARG_PUBLIC})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC imgpack_compile_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()
