# libtorch from the PyPI wheel, as the imported target Bestreel::torch.
#
# Not find_package(Torch): the wheel's config wants a CUDA toolkit even for a CPU build, picks its
# own architectures and fails with C++20 on CMake 3.25. Two include folders and two libraries say
# everything that is needed.
set(BESTREEL_TORCH_DIR "" CACHE PATH "Folder of the torch wheel (…/site-packages/torch)")
if(NOT BESTREEL_TORCH_DIR)
  file(GLOB _torch "${CMAKE_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/torch")
  if(NOT _torch)
    message(FATAL_ERROR "libtorch was not found: run ./run setup, or pass "
                        "-DBESTREEL_TORCH_DIR=…/site-packages/torch")
  endif()
  list(GET _torch 0 _torch)
  set(BESTREEL_TORCH_DIR ${_torch} CACHE PATH "" FORCE)
endif()
if(NOT EXISTS "${BESTREEL_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "${BESTREEL_TORCH_DIR}/lib/libtorch_cpu.so is missing: run ./run setup")
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)  # without it at::parallel_for is silently serial

if(BESTREEL_CUDA STREQUAL "AUTO")
  find_program(BESTREEL_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(BESTREEL_NVCC AND EXISTS "${BESTREEL_TORCH_DIR}/lib/libtorch_cuda.so")
    set(BESTREEL_WITH_CUDA ON)
  else()
    set(BESTREEL_WITH_CUDA OFF)
  endif()
else()
  set(BESTREEL_WITH_CUDA ${BESTREEL_CUDA})
endif()

add_library(bestreel_torch INTERFACE)
add_library(Bestreel::torch ALIAS bestreel_torch)
# Build interface: an installed package may not name folders of the source tree, where ./run setup
# puts the wheel.
target_include_directories(bestreel_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${BESTREEL_TORCH_DIR}/include>
  $<BUILD_INTERFACE:${BESTREEL_TORCH_DIR}/include/torch/csrc/api/include>)
target_link_directories(bestreel_torch INTERFACE $<BUILD_INTERFACE:${BESTREEL_TORCH_DIR}/lib>)
target_compile_options(bestreel_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>)
# The wheel's include folder holds its own fmt, newer than the system's library: without this its
# headers would ask for symbols that no library has.
target_compile_definitions(bestreel_torch INTERFACE FMT_HEADER_ONLY)
# The wheel's own libgomp is found first by its rpath, so one OpenMP runtime serves both.
target_link_options(bestreel_torch INTERFACE ${OpenMP_CXX_FLAGS} -Wl,--allow-shlib-undefined
                    $<BUILD_INTERFACE:-Wl,-rpath,${BESTREEL_TORCH_DIR}/lib>
                    $<BUILD_INTERFACE:-Wl,-rpath-link,${BESTREEL_TORCH_DIR}/lib>)
if(BESTREEL_WITH_CUDA)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(bestreel_torch INTERFACE
    -Wl,--no-as-needed -ltorch_cuda -lc10_cuda -ltorch_cpu -lc10 -Wl,--as-needed CUDA::cudart)
else()
  target_link_libraries(bestreel_torch INTERFACE -ltorch_cpu -lc10)
endif()
message(STATUS "libtorch: ${BESTREEL_TORCH_DIR} (CUDA: ${BESTREEL_WITH_CUDA})")
