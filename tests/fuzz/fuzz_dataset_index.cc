// Any bytes as a dataset index, as an index block and as a names group. Checksums always match here (tests/mutation).
#include <cstdlib>
#include <vector>

#include "format/dataset_index.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/name_codec.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

void expect_whole(const imgpack::IndexColumns& columns, bool names) {
  const size_t records = columns.size();
  if (columns.record_bytes.size() != records || columns.image_bytes.size() != records ||
      columns.entropy_bytes.size() != records || columns.label.size() != records || columns.width.size() != records ||
      columns.height.size() != records || columns.flags.size() != records ||
      columns.names.size() != (names ? records : 0))
    std::abort();
}

void read_dataset_index(std::span<const std::byte> bytes, imgpack::ReadNames names) {
  try {
    const imgpack::DatasetIndexHead head = imgpack::parse_dataset_index_head(bytes, bytes.size(), "index.ipx");
    for (const imgpack::IndexColumns& columns : imgpack::decode_dataset_index(head, bytes, names, "index.ipx"))
      expect_whole(columns, names == imgpack::ReadNames::kYes);
  } catch (const imgpack::Error&) {
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  read_dataset_index(bytes, imgpack::ReadNames::kYes);
  read_dataset_index(bytes, imgpack::ReadNames::kNo);
  try {
    // Callers have checked the count against the file's size.
    const uint64_t records = size >= 16 ? bytes.size() / imgpack::layout::kMinRecordBytes : 0;
    expect_whole(imgpack::decode_index_block(bytes, size == 0 ? 0 : data[size - 1] % (records + 1), "index", 0), true);
  } catch (const imgpack::Error&) {
  }
  try {
    const std::vector<int32_t> labels(size == 0 ? 0 : data[0] % 8, 0);
    for (const std::string& name : imgpack::decode_names(bytes.subspan(size == 0 ? 0 : 1), labels, "names", 0))
      if (!imgpack::is_canonical_name(name)) std::abort();
  } catch (const imgpack::Error&) {
  }
  return 0;
}
