// A fuzz target: one function over bytes that must never crash, hang or allocate without bound, whatever they are.
//
//   fuzz_NAME.cc --clang, -fsanitize=fuzzer (preset `fuzz`)--> the engine:  build/fuzz/bin/fuzz_NAME
//   tests/fuzz/corpus/NAME fuzz_NAME.cc + replay_main.cc, any compiler            --> ctest replays
//   tests/fuzz/corpus/NAME on every push
//
// A target that calls std::abort() has found a bug. Inputs that did are kept in the corpus as crash-*.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
