// The real photographs of ../shared/data, for tests that want them; never committed here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace imgpack::test {

struct Photograph {
  std::string name;
  std::vector<std::byte> jpeg;
};

// The files of imagenet-samples.tar under `shared_dir`; empty where it is absent.
std::vector<Photograph> read_photographs(const std::string& shared_dir);

}  // namespace imgpack::test
