// Every bit of a file flipped, and every shorter file, one after another: what does the reader make of each?
//
// A flip may be reported (Error of kind kCorruption or kUnsupportedVersion) or change nothing that a caller sees. What
// it must never do is give other contents, throw anything else, or make the reader allocate more than the file
// justifies.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace imgpack::test {

struct Outcomes {
  uint64_t tried = 0;
  uint64_t reported = 0;
  uint64_t unchanged = 0;
  uint64_t changed = 0;             // Contents differ and nobody noticed.
  uint64_t wrong_errors = 0;        // Errors of another kind, or other exceptions.
  uint64_t largest_allocation = 0;  // Bytes of the largest single allocation while reading.
  std::string first_bad;            // Which flip or length was the first of the last two kinds.
};

// Everything that a reader gives its caller, as text to compare. Throws what the reader throws.
using ReadContents = std::function<std::string(const std::string& bytes)>;

Outcomes flip_every_bit(const std::string& bytes, const ReadContents& read);
Outcomes cut_at_every_length(const std::string& bytes, const ReadContents& read);

// The four kinds of file, tiny, and how to read each.
struct Victim {
  const char* name;
  std::string bytes;
  ReadContents read;
};
Victim three_record_shard();
Victim dataset_index();
Victim manifest();
Victim label_set();

}  // namespace imgpack::test
