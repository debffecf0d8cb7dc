# libtorch::libtorch from the torch wheel (or -DLIBTORCH=DIR). The wheel's own find_package(Torch) insists on a whole
# CUDA toolkit; imported targets of our own need none. The pinned version is checked here and again at start-up.
set(IMGTRAIN_TORCH_VERSION 2.11.0)

if(LIBTORCH)
  set(torch_root ${LIBTORCH})
else()
  file(GLOB torch_candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  if(NOT torch_candidates)
    message(FATAL_ERROR "libtorch is not here: expected the torch wheel in .venv. "
      "Run scripts/setup, or name one with -DLIBTORCH=DIR, or build without it: --preset no-torch")
  endif()
  list(GET torch_candidates 0 torch_root)
endif()
file(READ ${torch_root}/include/torch/headeronly/version.h torch_version_header)
if(NOT torch_version_header MATCHES "\"${IMGTRAIN_TORCH_VERSION}\"")
  message(FATAL_ERROR "libtorch in ${torch_root} is not version ${IMGTRAIN_TORCH_VERSION}, the one this project is pinned to")
endif()
get_filename_component(site_packages ${torch_root}/.. ABSOLUTE)
set(IMGTRAIN_SITE_PACKAGES ${site_packages})
set(IMGTRAIN_CUDA_MAJOR "")  # Of a libtorch with CUDA.

add_library(libtorch INTERFACE)
add_library(libtorch::libtorch ALIAS libtorch)
target_include_directories(libtorch SYSTEM INTERFACE
  ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
target_compile_definitions(libtorch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
# The C++ library comes first: the wheel's libraries export pieces of another one (std::filesystem::remove_all among
# them, which then calls a null pointer), and the loader takes the first definition it finds.
target_link_libraries(libtorch INTERFACE
  -Wl,--push-state,--no-as-needed -lstdc++ -Wl,--pop-state
  ${torch_root}/lib/libtorch.so ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so)
set(torch_run_path ${torch_root}/lib)

# A CUDA build of libtorch: the same program uses a GPU where there is one and runs without any CUDA library elsewhere.
set(cuda_runtime ${site_packages}/nvidia/cu13/lib/libcudart.so.13)
if(EXISTS ${torch_root}/lib/libtorch_cuda.so AND EXISTS ${cuda_runtime})
  target_include_directories(libtorch SYSTEM INTERFACE
    ${site_packages}/nvidia/cu13/include ${site_packages}/nvidia/nccl/include)
  target_compile_definitions(libtorch INTERFACE USE_C10D_NCCL IMGTRAIN_WITH_CUDA)
  target_link_libraries(libtorch INTERFACE
    -Wl,--no-as-needed ${torch_root}/lib/libtorch_cuda.so ${torch_root}/lib/libc10_cuda.so -Wl,--as-needed ${cuda_runtime})
  list(APPEND torch_run_path ${site_packages}/nvidia/cu13/lib)
  set(IMGTRAIN_CUDA_MAJOR 13)
  # Of cuDNN only the headers: its functions are looked up in the library that libtorch has loaded, wherever that lies.
  if(EXISTS ${site_packages}/nvidia/cudnn/include/cudnn.h)
    target_include_directories(libtorch SYSTEM INTERFACE ${site_packages}/nvidia/cudnn/include)
    target_compile_definitions(libtorch INTERFACE IMGTRAIN_WITH_CUDNN)
  endif()
endif()
target_link_options(libtorch INTERFACE "LINKER:-rpath,$<JOIN:${torch_run_path},:>")
