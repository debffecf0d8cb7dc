// For builds that are timed: hears everything, says nothing.
#pragma once

#include <string>

#include "format/ingest/builder.h"

namespace imgbench {

class SilentObserver : public imgpack::ingest::BuildObserver {
 public:
  void on_note(const std::string&) override {}
  void on_skip(const imgpack::SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

}  // namespace imgbench
