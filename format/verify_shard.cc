#include "format/verify_shard.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/index_codec.h"
#include "format/layout.h"
#include "format/shard_codec.h"
#include "format/shard_reader.h"
#include "format/shard_salvage.h"

namespace imgpack {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{4} << 20;

// Where records lie and what they should be: from the shard's index, else from the dataset's, else from their headers.
struct RecordTable {
  IndexColumns columns;
  std::vector<uint64_t> offsets;
  uint64_t size() const { return columns.size(); }
};

// A record in memory, the columns that it must match, and where it lies.
struct RecordPlace {
  std::span<const std::byte> bytes;
  const IndexColumns& columns;
  uint64_t row;
  const std::filesystem::path& path;
  uint64_t offset;
};

// Returns the record's content digest, 0 where it is damaged.
uint64_t verify_record(const RecordPlace& place, VerifyLevel level, const ImageCheck& image_check,
                       const std::function<void(Damage)>& report) {
  const auto report_record = [&](DamageKind kind, const Error& error) {
    Damage damage = to_damage(kind, place.path.filename().string(), error);
    damage.record = place.columns.names[place.row];
    report(std::move(damage));
  };
  RecordView record;
  try {
    record = parse_record(place.bytes, place.path, place.offset);
  } catch (const Error& error) {
    report_record(DamageKind::kRecord, error);
    return 0;
  }
  try {
    check_against_index(record, place.columns, place.row, place.path, place.offset);
  } catch (const Error& error) {
    report_record(DamageKind::kRecordIndex, error);
  }
  if (level == VerifyLevel::kDecode) {
    if (const std::optional<std::string> why = image_check(record)) {
      Damage damage;
      damage.kind = DamageKind::kImage;
      damage.file = place.path.filename().string();
      damage.offset = place.offset;
      damage.record = record.meta.name;
      damage.message = "image does not decode: " + *why;
      report(std::move(damage));
    }
  }
  return content_digest(record);
}

class ShardVerifier {
 public:
  ShardVerifier(FileSystem& fs, const ShardExpectation& expected, VerifyLevel level, const ImageCheck& image_check,
                const VerifySinks& sinks)
      : fs_(fs), expected_(expected), level_(level), image_check_(image_check), sinks_(sinks) {}

  void run() {
    attempt([&] {
      if (fs_.exists(expected_.path)) {
        file_ = fs_.open(expected_.path);
      } else {
        report(DamageKind::kShardMissing, {}, "the shard is missing");
      }
    });
    if (!file_) return;
    check_size();
    attempt([&] { read_header(); });
    attempt([&] { read_footer(); });
    attempt([&] { read_index(); });
    compare_with_manifest();
    if (index_) {
      check_order(*index_);
      check_labels(*index_);
      compare_with_dataset_index(*index_);
    }
    const uint64_t indexed = index_ ? index_->size() : 0;
    if (level_ == VerifyLevel::kStructure) {
      sinks_.done(0, indexed, 0);
    } else {
      attempt([&] { read_everything(); });
    }
  }

 private:
  std::string file_name() const { return expected_.path.filename().string(); }

  // One place that cannot be read ends its own check, not those of the rest.
  template <typename Step>
  void attempt(Step step) {
    try {
      step();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kIo) throw;
      report(DamageKind::kUnreadable, error);
    }
  }

  void report(Damage damage) {
    any_damage_ = true;
    sinks_.report(std::move(damage));
  }
  void report(DamageKind kind, const Error& error) { report(to_damage(kind, file_name(), error)); }
  void report(DamageKind kind, std::optional<uint64_t> offset, std::string message, std::string expected = {},
              std::string found = {}, std::string record = {}) {
    report(Damage{kind, file_name(), offset, std::move(record), std::move(message), std::move(expected),
                  std::move(found)});
  }
  void report_difference(DamageKind kind, const char* what, uint64_t expected, uint64_t found) {
    if (expected != found) report(kind, {}, what, std::to_string(expected), std::to_string(found));
  }

  void check_size() {
    if (expected_.summary)
      report_difference(DamageKind::kShardSize, "shard has the wrong length", expected_.summary->bytes, file_->size());
  }

  void read_header() {
    std::vector<std::byte> bytes(std::min<uint64_t>(file_->size(), layout::kMaxFileHeaderBytes));
    sinks_.before_read(bytes.size());
    read_exactly(*file_, 0, bytes);
    try {
      header_ = parse_shard_header(bytes, expected_.path);
    } catch (const Error& error) {
      report(DamageKind::kShardHeader, error);
      unsupported_ = error.kind() == ErrorKind::kUnsupportedVersion;
    }
  }

  void read_footer() {
    if (unsupported_) return;
    if (file_->size() < header_bytes() + uint64_t{layout::shard_footer::kBytes}) {
      report(DamageKind::kShardFooter, file_->size(), "the shard is cut short before its footer");
      return;
    }
    std::vector<std::byte> bytes(layout::shard_footer::kBytes);
    read_exactly(*file_, file_->size() - bytes.size(), bytes);
    try {
      footer_ = parse_shard_footer(bytes, file_->size(), header_bytes(), expected_.path);
    } catch (const Error& error) {
      report(DamageKind::kShardFooter, error);
    }
  }

  void read_index() {
    if (!footer_) return;
    std::vector<std::byte> bytes(footer_->index_bytes);
    sinks_.before_read(bytes.size());
    read_exactly(*file_, footer_->index_offset, bytes);
    try {
      RecordTable table;
      table.columns = decode_index_block(bytes, footer_->records, expected_.path, footer_->index_offset);
      table.offsets = record_offsets(table.columns, header_bytes());
      if (table.offsets.back() != footer_->index_offset) {
        report(DamageKind::kShardIndex, footer_->index_offset, "record lengths in the index do not fill the shard",
               std::to_string(footer_->index_offset), std::to_string(table.offsets.back()));
        return;
      }
      index_ = std::move(table);
    } catch (const Error& error) {
      report(DamageKind::kShardIndex, error);
      unsupported_ = unsupported_ || error.kind() == ErrorKind::kUnsupportedVersion;
    }
  }

  // Header and footer are whole, but are they those of the shard that belongs here?
  void compare_with_manifest() {
    constexpr DamageKind kKind = DamageKind::kShardIdentity;
    if (header_) {
      const ShardHeader& found = header_->header;
      const ShardHeader& expected = expected_.header;
      if (found.split != expected.split) report(kKind, 48, "shard of another split", expected.split, found.split);
      report_difference(kKind, "shard number differs from its file name", expected.number, found.number);
      if (expected_.header_known) {
        report_difference(kKind, "shard count differs from the manifest", expected.shard_count, found.shard_count);
        report_difference(kKind, "seed differs from the manifest", expected.seed, found.seed);
        if (found.plan_id != expected.plan_id)
          report(kKind, 24, "shard of another build (plan id)", to_hex(expected.plan_id), to_hex(found.plan_id));
      }
      if (footer_ && (footer_->plan_id != found.plan_id || footer_->number != found.number ||
                      footer_->shard_count != found.shard_count))
        report(kKind, file_->size() - layout::shard_footer::kBytes, "header and footer belong to different shards");
    }
    if (footer_ && expected_.summary) {
      report_difference(kKind, "record count differs from the manifest", expected_.summary->records, footer_->records);
      report_difference(kKind, "index offset differs from the manifest", expected_.summary->index_offset,
                        footer_->index_offset);
      if (footer_->content != expected_.summary->content)
        report(kKind, {}, "content digest differs from the manifest", to_hex(expected_.summary->content),
               to_hex(footer_->content));
    }
  }

  // A damaged header takes nothing else down with it: its length is known, its content is what the manifest expects.
  uint32_t header_bytes() const { return header_ ? header_->header_bytes : layout::shard_header::kBytes; }

  void check_order(const RecordTable& table) {
    if (!header_ && !expected_.header_known) return;
    const ShardHeader& shard = header_ ? header_->header : expected_.header;
    uint64_t last = 0;
    for (uint64_t i = 0; i < table.size(); ++i) {
      const uint64_t id = table.columns.id[i], key = order_key(shard.seed, id);
      const std::string& name = table.columns.names[i];
      const uint64_t expected_id = sample_id(shard.split, name);
      if (id != expected_id)
        report(DamageKind::kRecordOrder, table.offsets[i], "sample id is not that of split and name",
               to_hex(expected_id), to_hex(id), name);
      if (shard_of_key(key, shard.shard_count) != shard.number)
        report(DamageKind::kRecordOrder, table.offsets[i], "record lies in the wrong shard",
               std::to_string(shard_of_key(key, shard.shard_count)), std::to_string(shard.number), name);
      if (i != 0 && std::tie(key, name) <= std::tie(last, table.columns.names[i - 1]))
        report(DamageKind::kRecordOrder, table.offsets[i], "record is out of order", {}, {}, name);
      last = key;
    }
  }

  void check_labels(const RecordTable& table) {
    if (!expected_.classes) return;
    const int64_t least = expected_.labeled ? 0 : kNoLabel;
    const int64_t most = expected_.labeled ? static_cast<int64_t>(*expected_.classes) - 1 : kNoLabel;
    for (uint64_t i = 0; i < table.size(); ++i) {
      const int64_t label = table.columns.label[i];
      if (label < least || label > most)
        report(DamageKind::kLabel, table.offsets[i], "label is outside the class list",
               std::to_string(least) + " to " + std::to_string(most), std::to_string(label), table.columns.names[i]);
    }
  }

  void compare_with_dataset_index(const RecordTable& table) {
    if (expected_.split == nullptr) return;
    const SplitView& split = *expected_.split;
    const uint64_t first = split.first_record[expected_.header.number];
    const uint64_t records = split.first_record[expected_.header.number + 1] - first;
    if (records != table.size()) return;  // compare_with_manifest() has said so.
    const auto differ = [&](const auto& in_shard, const auto& in_dataset, const char* column) {
      for (uint64_t i = 0; i < records; ++i) {
        if (in_shard[i] == in_dataset[first + i]) continue;
        report(DamageKind::kShardIndex, footer_->index_offset,
               std::string("shard index and dataset index differ in column ") + column, {}, {}, table.columns.names[i]);
        return;  // The first difference of a column says it all.
      }
    };
    differ(table.columns.id, split.columns.id, "id");
    differ(table.columns.record_bytes, split.columns.record_bytes, "record_bytes");
    differ(table.columns.image_bytes, split.columns.image_bytes, "image_bytes");
    differ(table.columns.entropy_bytes, split.columns.entropy_bytes, "entropy_bytes");
    differ(table.columns.label, split.columns.label, "label");
    differ(table.columns.width, split.columns.width, "width");
    differ(table.columns.height, split.columns.height, "height");
    differ(table.columns.flags, split.columns.flags, "flags");
    differ(table.columns.names, split.columns.names, "name");
  }

  // The dataset index's rows of this shard, with offsets; those beyond the end of the file are reported and left out.
  RecordTable table_from_dataset_index() {
    const SplitView& split = *expected_.split;
    const uint64_t first = split.first_record[expected_.header.number];
    const uint64_t end = split.first_record[expected_.header.number + 1];
    RecordTable table;
    uint64_t missing = 0;
    for (uint64_t i = first; i < end; ++i) {
      if (split.offset[i] > file_->size() || split.columns.record_bytes[i] > file_->size() - split.offset[i]) {
        ++missing;
        continue;
      }
      RecordMeta meta{split.columns.id[i],     split.columns.label[i], split.columns.width[i],
                      split.columns.height[i], split.columns.flags[i], split.columns.names[i]};
      table.columns.append(meta, split.columns.record_bytes[i], split.columns.image_bytes[i],
                           split.columns.entropy_bytes[i]);
      table.offsets.push_back(split.offset[i]);
    }
    if (missing != 0)
      report(DamageKind::kRecord, file_->size(), "records are missing at the end of the shard",
             std::to_string(end - first), std::to_string(table.size()));
    return table;
  }

  RecordTable table_from_salvage() {
    SalvagedShard salvaged = salvage_shard(*file_, expected_.header);
    for (const SalvageGap& gap : salvaged.gaps)
      report(DamageKind::kRecord, gap.offset, std::to_string(gap.bytes) + " bytes hold no intact record: " + gap.why);
    RecordTable table;
    table.columns = std::move(salvaged.columns);
    table.offsets = std::move(salvaged.offsets);
    return table;
  }

  void read_everything() {
    if (unsupported_) return;
    const bool from_index = index_.has_value();
    const RecordTable table = from_index                   ? std::move(*index_)
                              : expected_.split != nullptr ? table_from_dataset_index()
                                                           : table_from_salvage();
    ChecksumStream digest;
    std::atomic<uint64_t> content = 0;
    std::vector<std::byte> block;
    uint64_t at = 0, next = 0;
    while (at < file_->size()) {
      uint64_t end = std::min(at + kBlockBytes, file_->size());
      uint64_t last = next;
      for (; last < table.size() && table.offsets[last] < end; ++last)
        end = std::max(end, table.offsets[last] + table.columns.record_bytes[last]);
      block.resize(end - at);
      sinks_.before_read(block.size());
      attempt([&] {
        read_exactly(*file_, at, block);
        digest.update(block);
        content += check_records(table, next, last, block, at);
      });
      sinks_.done(block.size(), last - next, level_ == VerifyLevel::kDecode ? last - next : 0);
      at = end;
      next = last;
    }
    if (any_damage_) return;  // Then the sums differ because of what has been reported.
    if (footer_ && footer_->content != content)
      report(DamageKind::kShardIdentity, {}, "content digest of the records differs from the footer",
             to_hex(footer_->content), to_hex(content));
    if (expected_.summary && !same_checksum(expected_.summary->digest, digest.digest()))
      report(DamageKind::kShardIdentity, {},
             "digest differs from the manifest, though every part of the shard is whole",
             to_hex(expected_.summary->digest), to_hex(digest.digest()));
  }

  // Records [begin, end) of the table, which lie in `block`, whose first byte is at `block_at` in the file. Returns the
  // sum of their content digests.
  uint64_t check_records(const RecordTable& table, uint64_t begin, uint64_t end, std::span<const std::byte> block,
                         uint64_t block_at) {
    std::atomic<uint64_t> content = 0;
    // Isolated: a thread that waits here must not take up another shard, with another block to hold.
    tbb::this_task_arena::isolate([&] {
      tbb::parallel_for(tbb::blocked_range<uint64_t>(begin, end), [&](const tbb::blocked_range<uint64_t>& range) {
        uint64_t sum = 0;
        for (uint64_t i = range.begin(); i != range.end(); ++i)
          sum += check_record(table, i, block.subspan(table.offsets[i] - block_at, table.columns.record_bytes[i]));
        content += sum;
      });
    });
    return content;
  }

  uint64_t check_record(const RecordTable& table, uint64_t i, std::span<const std::byte> bytes) {
    return verify_record({bytes, table.columns, i, expected_.path, table.offsets[i]}, level_, image_check_,
                         [this](Damage damage) { report(std::move(damage)); });
  }

  FileSystem& fs_;
  const ShardExpectation& expected_;
  const VerifyLevel level_;
  const ImageCheck& image_check_;
  const VerifySinks& sinks_;
  std::unique_ptr<RandomAccessFile> file_;
  std::optional<ParsedShardHeader> header_;
  std::optional<ShardFooter> footer_;
  std::optional<RecordTable> index_;
  bool unsupported_ = false;
  std::atomic<bool> any_damage_ = false;
};

}  // namespace

void verify_block(FileSystem& fs, const std::filesystem::path& shard, const SplitView& split, uint64_t first,
                  uint64_t records, VerifyLevel level, const ImageCheck& image_check, const VerifySinks& sinks) {
  const uint64_t begin = split.offset[first], last = first + records - 1;
  const uint64_t bytes = split.offset[last] + split.columns.record_bytes[last] - begin;
  std::vector<std::byte> block(bytes);
  sinks.before_read(bytes);
  try {
    read_exactly(*fs.open(shard), begin, block);
    for (uint64_t i = first; i <= last; ++i) {
      const auto record =
          std::span<const std::byte>(block).subspan(split.offset[i] - begin, split.columns.record_bytes[i]);
      verify_record({record, split.columns, i, shard, split.offset[i]}, level, image_check, sinks.report);
    }
  } catch (const Error& error) {
    sinks.report(to_damage(DamageKind::kRecord, shard.filename().string(), error));
  }
  sinks.done(bytes, records, level == VerifyLevel::kDecode ? records : 0);
}

void verify_shard(FileSystem& fs, const ShardExpectation& expected, VerifyLevel level, const ImageCheck& image_check,
                  const VerifySinks& sinks) {
  ShardVerifier(fs, expected, level, image_check, sinks).run();
}

}  // namespace imgpack
