// Records made anew from a source, one at a time, as the build made them: for `imgpack repair`.
#pragma once

#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "format/ingest/archive_images.h"
#include "format/ingest/labeling.h"
#include "format/ingest/memory_budget.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/source.h"
#include "format/repair.h"

namespace imgpack::ingest {

// With the options of the dataset's manifest the bytes are those of the build: a record that was lost comes back the
// same. Not thread-safe. REQUIRES: source and reader outlive this.
class SourceRecords : public RecordSource {
 public:
  SourceRecords(const LabeledSource& source, ImageReader& reader, PackOptions options);

  std::vector<std::string> names(const ShardHeader& shard) override;
  std::variant<Record, std::string> make(const std::string& split, const std::string& name) override;
  const std::vector<ClassInfo>& classes() const override { return source_.classes.classes; }

 private:
  const LabeledSource& source_;
  ImageReader& reader_;
  const PackOptions options_;
  MemoryBudget decoding_;
};

// Gives nothing, and notes what it is asked for: so a repair tells beforehand which images of its source it needs.
class NotedRecords : public RecordSource {
 public:
  // REQUIRES: source outlives this.
  explicit NotedRecords(const LabeledSource& source) : source_(source) {}
  std::vector<std::string> names(const ShardHeader& shard) override;
  std::variant<Record, std::string> make(const std::string& split, const std::string& name) override;
  const std::vector<ClassInfo>& classes() const override { return source_.classes.classes; }
  const WantedImages& noted() const { return noted_; }

 private:
  const LabeledSource& source_;
  WantedImages noted_;
};

// Where only the classes are wanted of a source, because the options that records were made by are not known.
class SourceClasses : public RecordSource {
 public:
  explicit SourceClasses(std::vector<ClassInfo> classes) : classes_(std::move(classes)) {}
  std::vector<std::string> names(const ShardHeader&) override { return {}; }
  std::variant<Record, std::string> make(const std::string&, const std::string&) override {
    return "the options that it was packed by were in the manifest";
  }
  const std::vector<ClassInfo>& classes() const override { return classes_; }

 private:
  std::vector<ClassInfo> classes_;
};

}  // namespace imgpack::ingest
