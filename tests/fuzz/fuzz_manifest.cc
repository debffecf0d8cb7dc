// Any bytes as a manifest and as a label set, with and without a right checksum line.
#include <cstdlib>
#include <string>

#include "format/error.h"
#include "format/label_set.h"
#include "format/manifest.h"
#include "format/sealed_json.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// What is accepted can be written, and reads back the same.
void read(const std::string& text) {
  try {
    const std::string again = to_json(imgpack::parse_manifest(text, "manifest.json"));
    if (to_json(imgpack::parse_manifest(again, "manifest.json")) != again) std::abort();
  } catch (const imgpack::Error& error) {
    if (error.kind() == imgpack::ErrorKind::kInternal) std::abort();
  }
  try {
    const std::string again = to_json(imgpack::parse_label_set(text, "labels.json"));
    if (to_json(imgpack::parse_label_set(again, "labels.json")) != again) std::abort();
  } catch (const imgpack::Error& error) {
    if (error.kind() == imgpack::ErrorKind::kInvalidInput) std::abort();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read(text);
  read(imgpack::seal_json(text));
  return 0;
}
