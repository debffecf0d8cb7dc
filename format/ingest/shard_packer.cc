#include "format/ingest/shard_packer.h"

#include <tbb/parallel_pipeline.h>

#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "format/checksum.h"
#include "format/error.h"
#include "format/ingest/decode_cost.h"
#include "format/ingest/image_name.h"
#include "format/ingest/memory_budget.h"
#include "format/ingest/thread_limit.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

// One image on its way.
struct Item {
  uint32_t shard = 0;
  uint32_t image = 0;
  uint64_t source_bytes = 0;
  MemoryBudget::Lease in_flight;
  std::variant<std::monostate, Record, SkippedSource> result;
};
using ItemPtr = std::shared_ptr<Item>;

class Packer {
 public:
  Packer(const PackJob& job, const PackCallbacks& callbacks)
      : job_(job),
        callbacks_(callbacks),
        in_flight_(64 * kMiB * (1 + threads_)),
        decoding_(256 * kMiB + 64 * kMiB * threads_) {}

  void run(const std::vector<uint32_t>& numbers, const std::atomic<bool>& stop) {
    size_t at = 0;
    uint32_t position = numbers.empty() ? 0 : job_.plan.first[numbers[0]];
    const auto next = [&](tbb::flow_control& control) -> ItemPtr {
      while (at < numbers.size() && position == job_.plan.first[numbers[at] + 1]) {
        if (++at < numbers.size()) position = job_.plan.first[numbers[at]];
      }
      if (at == numbers.size() || stop.load(std::memory_order_relaxed)) {
        control.stop();
        return nullptr;
      }
      auto item = std::make_shared<Item>();
      item->shard = numbers[at];
      item->image = job_.plan.order[position++].image;
      item->source_bytes = job_.source.images[item->image].bytes;
      item->in_flight = in_flight_.acquire(item->source_bytes);
      return item;
    };
    tbb::parallel_pipeline(8 + 4 * threads_,
                           tbb::make_filter<void, ItemPtr>(tbb::filter_mode::serial_in_order, next) &
                               tbb::make_filter<ItemPtr, ItemPtr>(tbb::filter_mode::parallel,
                                                                  [this](ItemPtr item) {
                                                                    prepare(*item);
                                                                    return item;
                                                                  }) &
                               tbb::make_filter<ItemPtr, void>(tbb::filter_mode::serial_in_order,
                                                               [&](const ItemPtr& item) { commit(*item, numbers); }));
    if (stop.load()) {
      writer_.reset();
      collect_published();
      return;
    }
    // Shards after the last image, if any, are empty, and exist all the same.
    while (next_number_ < numbers.size()) begin_shard(numbers[next_number_]);
    publish_current();
    collect_published();
  }

 private:
  void prepare(Item& item) const {
    const SourceImage& image = job_.source.images[item.image];
    SkippedSource skipped{job_.plan.name, printable(image.name()), "", ""};
    std::vector<std::byte> bytes;
    if (!is_canonical_name(image.name())) {
      skipped.reason = std::string("bad-name: expected ") + kCanonicalNameRule;
      item.result = std::move(skipped);
      return;
    }
    try {
      bytes = job_.reader.read(job_.source, image);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kIo) throw;
      skipped.reason = "unreadable: " + error.message();
      item.result = std::move(skipped);
      return;
    }
    if (bytes.size() != image.bytes) {
      throw Error(ErrorKind::kInvalidInput,
                  "file changed while it was being packed: expected " + std::to_string(image.bytes) + " bytes, found " +
                      std::to_string(bytes.size()),
                  std::filesystem::path(job_.source.folder) / image.path, {},
                  "let the download or copy finish, then build again");
    }
    const NormaliseOptions options = options_for(job_.options, sample_id(job_.plan.name, image.name()));
    const auto decoding = decoding_.acquire(decode_cost_bytes(bytes, options));
    auto normalised = normalise_image(std::move(bytes), options);
    if (const auto* quarantine = std::get_if<Quarantine>(&normalised)) {
      skipped.reason = std::string(reason_name(quarantine->reason)) +
                       (quarantine->detail.empty() ? "" : ": " + printable(quarantine->detail));
      skipped.digest = to_hex(checksum(bytes));  // NOLINT(bugprone-use-after-move): after a Quarantine, still ours.
      item.result = std::move(skipped);
      return;
    }
    item.result = to_record(item, std::get<NormalisedImage>(std::move(normalised)));
  }

  Record to_record(const Item& item, NormalisedImage image) const {
    Record record;
    record.meta.name = job_.source.images[item.image].name();
    record.meta.id = sample_id(job_.plan.name, record.meta.name);
    record.meta.label = job_.labels.labels[item.image];
    record.meta.width = image.width;
    record.meta.height = image.height;
    record.meta.flags = image.flags;
    record.sections.push_back({SectionType::kImage, true, std::move(image.jpeg)});
    if (!image.entropy_index.empty())
      record.sections.push_back({SectionType::kEntropyIndex, false, std::move(image.entropy_index)});
    return record;
  }

  void commit(Item& item, const std::vector<uint32_t>& numbers) {
    while (!writer_ || current_.number != item.shard) begin_shard(numbers[next_number_]);
    if (auto* record = std::get_if<Record>(&item.result)) {
      writer_->append(*record);
    } else {
      current_.skipped.push_back(std::get<SkippedSource>(std::move(item.result)));
      callbacks_.on_skip(current_.skipped.back());
    }
    item.result = {};
    item.in_flight.release();
    callbacks_.on_image(item.source_bytes);
  }

  void begin_shard(uint32_t number) {
    publish_current();
    ++next_number_;
    current_ = {};
    current_.split = job_.plan.name;
    current_.number = number;
    const ShardHeader header{job_.plan.name, number, job_.plan.shards(), job_.options.seed, job_.plan_id};
    writer_ = std::make_unique<ShardWriter>(job_.fs, job_.out / shard_file_name(job_.plan.name, number), header);
  }

  // Waiting for the disk is left to a thread of its own, so that the next shard is filled meanwhile; one at a time.
  void publish_current() {
    if (!writer_) return;
    collect_published();
    publishing_ = std::async(std::launch::async, [writer = std::move(writer_), shard = std::move(current_)]() mutable {
      shard.summary = writer->finish();
      return std::move(shard);
    });
  }

  void collect_published() {
    if (publishing_.valid()) callbacks_.on_shard(publishing_.get());
  }

  const PackJob& job_;
  const PackCallbacks& callbacks_;
  const uint32_t threads_ = threads_in_use();
  MemoryBudget in_flight_;         // Of source bytes between reading and writing.
  mutable MemoryBudget decoding_;  // Of pixels, held only while an image is decoded.
  std::unique_ptr<ShardWriter> writer_;
  FinishedShard current_;
  size_t next_number_ = 0;  // Position in the numbers of the shard to begin next.
  std::future<FinishedShard> publishing_;
};

}  // namespace

void pack_shards(const PackJob& job, const std::vector<uint32_t>& numbers, const PackCallbacks& callbacks,
                 const std::atomic<bool>& stop) {
  if (!numbers.empty()) Packer(job, callbacks).run(numbers, stop);
}

}  // namespace imgpack::ingest
