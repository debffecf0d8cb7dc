// Datasets in Python: splits, classes, and single records by position.
//
//   imgpack.open(path) -> Dataset -> ds["train"] -> Split -> [i] -> Record: bytes, label, name; decode() -> pixels
#pragma once

#include <nanobind/nanobind.h>

#include <list>
#include <memory>
#include <string>
#include <utility>

#include "format/dataset.h"
#include "format/file.h"

namespace imgpack::python {

// A dataset and the shards of it that were read last. Used under the interpreter's lock; reads themselves need none.
class OpenDataset {
 public:
  explicit OpenDataset(const std::filesystem::path& folder);
  const Dataset& dataset() const { return dataset_; }
  std::shared_ptr<RandomAccessFile> shard(const std::string& split, uint32_t number);

 private:
  const Dataset dataset_;
  std::list<std::pair<std::filesystem::path, std::shared_ptr<RandomAccessFile>>> files_;  // Most recently used first.
};

void bind_dataset(nanobind::module_& module);

}  // namespace imgpack::python
