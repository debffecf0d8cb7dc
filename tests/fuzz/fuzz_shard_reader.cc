// Any bytes as a shard: opened and read, salvaged, and parsed as a bare record. Checksums always match here
// (tests/mutation), or no mutated input would ever get past them.
#include <cstdlib>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/error.h"
#include "format/shard_reader.h"
#include "format/shard_salvage.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_file_system.h"

namespace {

// What a reader promises of whatever it accepts.
void expect(bool condition) {
  if (!condition) std::abort();
}

void read_shard(imgpack::FileSystem& fs) {
  const imgpack::ShardReader reader(fs, "train-00000.ipk");
  std::vector<std::byte> buffer;
  for (uint64_t i = 0; i < reader.records(); ++i) {
    try {
      const imgpack::RecordView record = reader.read(i, buffer);
      expect(imgpack::is_canonical_name(record.meta.name));
      for (const imgpack::SectionView& section : record.sections)
        expect(section.bytes.empty() || (section.bytes.data() >= buffer.data() &&
                                         section.bytes.data() + section.bytes.size() <= buffer.data() + buffer.size()));
    } catch (const imgpack::Error&) {
      continue;
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  imgpack::test::MemoryFileSystem fs;
  fs.set_bytes("train-00000.ipk", std::string(reinterpret_cast<const char*>(data), size));
  try {
    read_shard(fs);
  } catch (const imgpack::Error&) {
  }
  try {
    const auto salvaged = imgpack::salvage_shard(*fs.open("train-00000.ipk"), {"train", 0, 1, 7, 42});
    for (size_t i = 0; i < salvaged.columns.size(); ++i)
      expect(salvaged.offsets[i] + salvaged.columns.record_bytes[i] <= size);
  } catch (const imgpack::Error&) {
  }
  try {
    imgpack::parse_record({reinterpret_cast<const std::byte*>(data), size}, "record", 0);
  } catch (const imgpack::Error&) {
  }
  return 0;
}
