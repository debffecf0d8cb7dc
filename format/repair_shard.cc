#include "format/repair_shard.h"

#include <algorithm>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/shard_reader.h"
#include "format/shard_salvage.h"

namespace imgpack {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{4} << 20;

uint64_t digest_of(const RandomAccessFile& file) {
  ChecksumStream digest;
  std::vector<std::byte> block;
  for (uint64_t at = 0; at < file.size(); at += block.size()) {
    block.resize(std::min(kBlockBytes, file.size() - at));
    read_exactly(file, at, block);
    digest.update(block);
  }
  return digest.digest();
}

bool same_identity(const ShardHeader& a, const ShardHeader& b) {
  return std::tie(a.split, a.number, a.shard_count, a.seed, a.plan_id) ==
         std::tie(b.split, b.number, b.shard_count, b.seed, b.plan_id);
}

bool same_summary(const ShardSummary& a, const ShardSummary& b) {
  return std::tie(a.records, a.bytes, a.index_offset, a.content, a.digest) ==
         std::tie(b.records, b.bytes, b.index_offset, b.content, b.digest);
}

// A record of the shard to come: bytes of the old file, or to be made.
struct Item {
  uint64_t key = 0;
  std::string name;
  uint64_t offset = 0, bytes = 0;  // 0 bytes: to be made.
  std::string why;                 // Why it has to be.
};

class ShardRepair {
 public:
  ShardRepair(FileSystem& fs, const RepairJob& job, const RepairOptions& options)
      : fs_(fs), job_(job), options_(options) {}

  RepairOutcome run() {
    const auto intact = intact_shard(fs_, job_, &outcome_.what_was_wrong);
    if (intact && !anything_to_add()) {
      outcome_.whole = true;
      outcome_.summary = *intact;
      return std::move(outcome_);
    }
    if (fs_.exists(job_.path)) {
      file_ = fs_.open(job_.path);
      take_what_is_intact();
    }
    add_what_should_be_there();
    std::sort(items_.begin(), items_.end(),
              [](const Item& a, const Item& b) { return std::tie(a.key, a.name) < std::tie(b.key, b.name); });
    write();
    return std::move(outcome_);
  }

 private:
  bool anything_to_add() {
    if (options_.source == nullptr) return false;
    return std::any_of(job_.skipped.begin(), job_.skipped.end(), [&](const std::string& name) {
      return std::holds_alternative<Record>(options_.source->make(job_.header.split, name));
    });
  }

  std::vector<std::byte> read(const Item& item) const {
    std::vector<std::byte> bytes(item.bytes);
    read_exactly(*file_, item.offset, bytes);
    return bytes;
  }

  uint64_t key_of(const std::string& name) const { return order_key(job_.header.seed, job_.header.split, name); }

  void take_what_is_intact() {
    const SalvagedShard found = salvage_shard(*file_, job_.header);
    // Another shard that came here by a wrong copy has no record for this one.
    if (found.header_intact && !same_identity(found.header, job_.header)) return;
    for (size_t i = 0; i < found.offsets.size(); ++i) {
      Item item{
          key_of(found.columns.names[i]), found.columns.names[i], found.offsets[i], found.columns.record_bytes[i], {}};
      try {
        const std::vector<std::byte> bytes = read(item);
        parse_record(bytes, job_.path, item.offset);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kCorruption) throw;
        item.bytes = 0;
        item.why = error.message();
      }
      known_.insert(item.name);
      items_.push_back(std::move(item));
    }
    gap_ = found.gaps.empty() ? std::string() : found.gaps.front().why;
  }

  void expect(const std::string& name, const std::string& why) {
    if (known_.insert(name).second) items_.push_back({key_of(name), name, 0, 0, why});
  }

  void add_what_should_be_there() {
    const std::string why = file_ == nullptr ? "its shard is missing" : gap_.empty() ? "it is not in its shard" : gap_;
    std::optional<std::vector<std::string>> names = job_.names;
    if (!names) names = names_of_own_index();
    if (names) {
      for (const std::string& name : *names) expect(name, why);
      count_unknown(why);
    } else if (options_.source != nullptr) {
      const std::vector<std::string> all = options_.source->names(job_.header);
      for (const std::string& name : all) {
        if (std::find(job_.skipped.begin(), job_.skipped.end(), name) == job_.skipped.end()) expect(name, why);
      }
      if (all.empty()) count_unknown(why);  // A source of classes alone.
    } else {
      count_unknown(why);
    }
    if (options_.source == nullptr) return;
    for (const std::string& name : job_.skipped) expect(name, {});
  }

  std::optional<std::vector<std::string>> names_of_own_index() {
    if (file_ == nullptr) return std::nullopt;
    try {
      return ShardReader(fs_, job_.path).columns().names;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kIo) throw;
      return std::nullopt;
    }
  }

  // Where no index names the records that are not there, all that is known of them is how many there were.
  void count_unknown(const std::string& why) {
    const uint64_t expected = job_.summary ? job_.summary->records : 0;
    if (expected > items_.size()) {
      outcome_.lost.push_back({job_.header.split, {}, why, expected - items_.size()});
    } else if (!job_.summary && !job_.names && (file_ == nullptr || !gap_.empty())) {
      outcome_.lost.push_back({job_.header.split, {}, why, 1});
    }
  }

  void write() {
    std::unique_ptr<ShardWriter> writer;
    if (!options_.dry_run) writer = std::make_unique<ShardWriter>(fs_, job_.path, job_.header);
    for (const Item& item : items_) {
      if (item.bytes != 0) {
        if (writer) writer->append_encoded(read(item));
        continue;
      }
      std::variant<Record, std::string> made = "no source was given";
      if (options_.source != nullptr) made = options_.source->make(job_.header.split, item.name);
      const bool was_skipped = std::find(job_.skipped.begin(), job_.skipped.end(), item.name) != job_.skipped.end();
      if (const auto* record = std::get_if<Record>(&made)) {
        ++outcome_.restored;
        if (was_skipped) outcome_.unskipped.push_back(item.name);
        if (writer) writer->append(*record);
      } else if (!was_skipped) {
        outcome_.lost.push_back({job_.header.split, item.name, item.why + "; " + std::get<std::string>(made), 1});
      }
    }
    if (!outcome_.lost.empty() && !options_.accept_loss) return;  // The writer removes what it has written.
    outcome_.whole = outcome_.rewritten = true;
    if (writer) outcome_.summary = writer->finish();
  }

  FileSystem& fs_;
  const RepairJob& job_;
  const RepairOptions& options_;
  RepairOutcome outcome_;
  std::unique_ptr<RandomAccessFile> file_;
  std::vector<Item> items_;
  std::set<std::string> known_;
  std::string gap_;  // Why the first of the places without a record has none.
};

}  // namespace

std::optional<ShardSummary> intact_shard(FileSystem& fs, const RepairJob& job, std::string* why) {
  if (!fs.exists(job.path)) {
    *why = "the shard is missing";
    return std::nullopt;
  }
  try {
    const ShardReader reader(fs, job.path);
    if (!same_identity(reader.header(), job.header)) {
      *why = "it is another shard";
      return std::nullopt;
    }
    ShardSummary found{job.path.filename().string(), reader.records(),        reader.file().size(),
                       reader.index_offset(),        reader.footer().content, digest_of(reader.file())};
    if (job.summary && same_summary(found, *job.summary)) return found;
    uint64_t content = 0;
    std::vector<std::byte> buffer;
    for (uint64_t i = 0; i < reader.records(); ++i) content += content_digest(reader.read(i, buffer));
    if (content != found.content) {
      *why = "its records are not those that its footer counts";
    } else if (job.summary) {
      // Every part is whole, yet it is not the file that the manifest knows: written by an interrupted repair, perhaps.
      *why = "it differs from what the manifest says";
    } else {
      return found;
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCorruption) throw;
    *why = error.message();
  }
  return std::nullopt;
}

RepairOutcome repair_shard(FileSystem& fs, const RepairJob& job, const RepairOptions& options) {
  return ShardRepair(fs, job, options).run();
}

}  // namespace imgpack
