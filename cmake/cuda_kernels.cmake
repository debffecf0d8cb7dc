# cuda_kernels(TARGET FILE.cu …): adds CUDA code to a library where an nvcc of libtorch's CUDA is found, and defines
# IMGTRAIN_WITH_CUDA_KERNELS for everything that links it. Otherwise says why not; the program works without.
#
# nvcc comes from the wheels beside torch (scripts/requirements/cuda-compiler.txt), or from PATH. It is called as a plain
# command: CMake's own support for CUDA links a trial program first, which needs what the wheels do not have.
option(IMGTRAIN_CUDA_KERNELS "Build the fused CUDA kernels where an nvcc is found" ON)
set(IMGTRAIN_CUDA_ARCHITECTURES 80 86 89 90 CACHE STRING
  "Compute capabilities that the kernels are compiled for, ascending; later ones get the last as PTX")

# What keeps the kernels from being built; empty: nothing. Finds IMGTRAIN_NVCC.
function(find_kernel_compiler reason_variable)
  set(${reason_variable} "" PARENT_SCOPE)
  if(NOT IMGTRAIN_CUDA_KERNELS)
    set(${reason_variable} "IMGTRAIN_CUDA_KERNELS is off" PARENT_SCOPE)
    return()
  elseif(NOT IMGPACK_TORCH)
    set(${reason_variable} "this build has no libtorch" PARENT_SCOPE)
    return()
  elseif(NOT IMGTRAIN_CUDA_MAJOR)
    set(${reason_variable} "libtorch is a build without CUDA" PARENT_SCOPE)
    return()
  endif()
  file(GLOB wheel_folders ${IMGTRAIN_SITE_PACKAGES}/nvidia/cu${IMGTRAIN_CUDA_MAJOR}/bin
    ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu${IMGTRAIN_CUDA_MAJOR}/bin)
  find_program(IMGTRAIN_NVCC nvcc HINTS ${wheel_folders} DOC "Compiler of the CUDA kernels")
  if(NOT IMGTRAIN_NVCC)
    set(${reason_variable} "no nvcc in .venv or on PATH; scripts/setup installs one" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${IMGTRAIN_NVCC} --version OUTPUT_VARIABLE version ERROR_QUIET RESULT_VARIABLE failed)
  if(failed OR NOT version MATCHES "release ${IMGTRAIN_CUDA_MAJOR}\\.")
    set(${reason_variable} "${IMGTRAIN_NVCC} is not of CUDA ${IMGTRAIN_CUDA_MAJOR}, as libtorch is" PARENT_SCOPE)
  endif()
endfunction()

function(cuda_kernels target)
  find_kernel_compiler(reason)
  if(reason)
    message(STATUS "CUDA kernels: none (${reason})")
    return()
  endif()
  set(code "")
  foreach(architecture ${IMGTRAIN_CUDA_ARCHITECTURES})
    list(APPEND code -gencode=arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  list(GET IMGTRAIN_CUDA_ARCHITECTURES -1 last)
  list(APPEND code -gencode=arch=compute_${last},code=compute_${last})
  set(objects "")
  foreach(source ${ARGN})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${CCACHE_PROGRAM} ${IMGTRAIN_NVCC} -ccbin ${CMAKE_CXX_COMPILER} -std=c++20 -O3 ${code}
        -Xcompiler=-fPIC,-Wall,-Wextra -Werror=all-warnings -I${PROJECT_SOURCE_DIR} -MD -MF ${object}.d
        -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_sources(${target} PRIVATE ${objects})
  target_link_libraries(${target} PUBLIC ${cuda_runtime})  # Of cmake/libtorch.cmake: there where libtorch has CUDA.
  list(JOIN IMGTRAIN_CUDA_ARCHITECTURES ", sm_" names)
  list(GET IMGTRAIN_CUDA_ARCHITECTURES 0 oldest)
  target_compile_definitions(${target} PUBLIC IMGTRAIN_WITH_CUDA_KERNELS IMGTRAIN_KERNEL_CODE="sm_${names}"
    PRIVATE IMGTRAIN_KERNEL_OLDEST=${oldest})
  set_property(TARGET ${target} PROPERTY KERNEL_OBJECTS "${objects}")
  message(STATUS "CUDA kernels: for sm_${names}, with ${IMGTRAIN_NVCC}")
endfunction()
