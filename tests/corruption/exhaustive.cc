#include "tests/corruption/exhaustive.h"

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/dataset.h"
#include "format/dataset_index.h"
#include "format/error.h"
#include "format/label_set.h"
#include "format/shard_reader.h"
#include "tests/corruption/allocation_meter.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack::test {
namespace {

void try_one(const std::string& damaged, const std::string& place, const std::string& contents,
             const ReadContents& read, Outcomes& outcomes) {
  ++outcomes.tried;
  bool bad = false;
  AllocationMeter meter;
  try {
    const bool same = read(damaged) == contents;
    ++(same ? outcomes.unchanged : outcomes.changed);
    bad = !same;
  } catch (const Error& error) {
    bad = error.kind() != ErrorKind::kCorruption && error.kind() != ErrorKind::kUnsupportedVersion;
    ++(bad ? outcomes.wrong_errors : outcomes.reported);
  } catch (const std::exception&) {
    ++outcomes.wrong_errors;
    bad = true;
  }
  outcomes.largest_allocation = std::max(outcomes.largest_allocation, meter.largest());
  if (bad && outcomes.first_bad.empty()) outcomes.first_bad = place;
}

void describe(const IndexColumns& columns, std::string& out) {
  for (size_t i = 0; i < columns.size(); ++i) {
    for (const uint64_t value : {columns.id[i], uint64_t{columns.record_bytes[i]}, uint64_t{columns.image_bytes[i]},
                                 uint64_t{columns.entropy_bytes[i]}, static_cast<uint64_t>(columns.label[i]),
                                 uint64_t{columns.width[i]}, uint64_t{columns.height[i]}, uint64_t{columns.flags[i]}})
      out += to_hex(value) + " ";
    out += columns.names[i] + "\n";
  }
}

std::string read_shard(const std::string& bytes) {
  MemoryFileSystem fs;
  fs.set_bytes("train-00000.ipk", bytes);
  const ShardReader reader(fs, "train-00000.ipk");
  std::string out = reader.header().split + " " + std::to_string(reader.header().number) + " " +
                    std::to_string(reader.header().shard_count) + " " + to_hex(reader.header().seed) + " " +
                    to_hex(reader.header().plan_id) + " " + to_hex(reader.footer().content) + "\n";
  describe(reader.columns(), out);
  std::vector<std::byte> buffer;
  for (uint64_t i = 0; i < reader.records(); ++i) {
    const RecordView record = reader.read(i, buffer);
    for (const SectionView& section : record.sections)
      out += std::to_string(static_cast<uint32_t>(section.type)) + ":" + std::string(as_text(section.bytes)) + "\n";
  }
  return out;
}

std::string read_dataset(MemoryFileSystem& fs) {
  const Dataset dataset = Dataset::open(fs, "tiny.shards", ReadNames::kYes);
  std::string out = to_json(dataset.manifest());
  for (const SplitInfo& split : dataset.manifest().splits) describe(dataset.split(split.name).columns, out);
  return out;
}

}  // namespace

Outcomes flip_every_bit(const std::string& bytes, const ReadContents& read) {
  const std::string contents = read(bytes);
  Outcomes outcomes;
  for (size_t byte = 0; byte < bytes.size(); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      try_one(damaged, "bit " + std::to_string(bit) + " of byte " + std::to_string(byte), contents, read, outcomes);
    }
  }
  return outcomes;
}

Outcomes cut_at_every_length(const std::string& bytes, const ReadContents& read) {
  const std::string contents = read(bytes);
  Outcomes outcomes;
  for (size_t length = 0; length < bytes.size(); ++length)
    try_one(bytes.substr(0, length), "length " + std::to_string(length), contents, read, outcomes);
  return outcomes;
}

Victim three_record_shard() {
  MemoryFileSystem fs;
  write_shards(fs, "", {"train", make_records("train", 3), 1, true}, {});
  return {"shard", fs.bytes("train-00000.ipk"), read_shard};
}

Victim dataset_index() {
  MemoryFileSystem fs;
  write_dataset(fs, "tiny.shards",
                {{"train", make_records("train", 5), 2, true}, {"val", make_records("val", 2), 1, true}});
  const std::string manifest_bytes = fs.bytes("tiny.shards/manifest.json");
  return {"dataset index", fs.bytes("tiny.shards/index.ipx"), [manifest_bytes](const std::string& bytes) {
            MemoryFileSystem damaged;
            damaged.set_bytes("tiny.shards/manifest.json", manifest_bytes);
            damaged.set_bytes("tiny.shards/index.ipx", bytes);
            return read_dataset(damaged);
          }};
}

Victim manifest() {
  MemoryFileSystem fs;
  write_dataset(fs, "tiny.shards",
                {{"train", make_records("train", 5), 2, true}, {"val", make_records("val", 2), 1, true}});
  return {"manifest", fs.bytes("tiny.shards/manifest.json"),
          [](const std::string& bytes) { return to_json(parse_manifest(bytes, "manifest.json")); }};
}

Victim label_set() {
  const LabelSet set{"real", "val", 1000, 0x123456789abcdef0, {{65, 795}, {}, {970}}};
  return {"label set", to_json(set),
          [](const std::string& bytes) { return to_json(parse_label_set(bytes, "labels-real.json")); }};
}

}  // namespace imgpack::test
