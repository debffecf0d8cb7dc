#include "format/ingest/shard_packer.h"

#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "format/error.h"
#include "format/ingest/image_name.h"
#include "format/ingest/image_preparation.h"
#include "format/ingest/in_order_pipeline.h"
#include "format/ingest/memory_budget.h"
#include "format/ingest/thread_limit.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

// One image on its way.
struct Item {
  uint32_t shard = 0;
  uint32_t image = 0;
  uint64_t source_bytes = 0;
  MemoryBudget::Lease in_flight;
  std::variant<std::monostate, Record, SkippedSource> result;
};

class Packer {
 public:
  Packer(const PackJob& job, const PackCallbacks& callbacks)
      : job_(job),
        callbacks_(callbacks),
        in_flight_(in_flight_budget_bytes(threads_)),
        decoding_(decoding_budget_bytes(threads_)) {}

  void run(const std::vector<uint32_t>& numbers, const std::atomic<bool>& stop) {
    size_t at = 0;
    uint32_t position = numbers.empty() ? 0 : job_.plan.first[numbers[0]];
    const auto next = [&]() -> std::unique_ptr<Item> {
      while (at < numbers.size() && position == job_.plan.first[numbers[at] + 1]) {
        if (++at < numbers.size()) position = job_.plan.first[numbers[at]];
      }
      if (at == numbers.size() || stop.load(std::memory_order_relaxed)) return nullptr;
      auto item = std::make_unique<Item>();
      item->shard = numbers[at];
      item->image = job_.plan.order[position++].image;
      item->source_bytes = job_.source.images[item->image].bytes;
      item->in_flight = in_flight_.acquire(item->source_bytes);
      return item;
    };
    run_in_order<Item>(
        in_flight_, next, [this](Item& item) { prepare(item); }, [&](Item& item) { commit(item, numbers); });
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
    auto prepared = job_.reader.prepared(job_.source, image);
    if (!prepared) prepared = prepare_from_file(image);
    if (auto* record = std::get_if<Record>(&*prepared)) {
      record->meta.label = job_.labels.labels[item.image];
      item.result = std::move(*record);
    } else {
      item.result = std::get<SkippedSource>(*std::move(prepared));
    }
  }

  PreparedImage prepare_from_file(const SourceImage& image) const {
    if (auto refused = refuse_name(job_.plan.name, image)) return *std::move(refused);
    std::vector<std::byte> bytes;
    try {
      bytes = job_.reader.read(job_.source, image);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kIo) throw;
      return SkippedSource{job_.plan.name, printable(image.name()), "unreadable: " + error.message(), ""};
    }
    if (bytes.size() != image.bytes) {
      throw Error(ErrorKind::kInvalidInput,
                  "file changed while it was being packed: expected " + std::to_string(image.bytes) + " bytes, found " +
                      std::to_string(bytes.size()),
                  std::filesystem::path(job_.source.folder) / image.path, {},
                  "let the download or copy finish, then build again");
    }
    return prepare_image(job_.plan.name, image, std::move(bytes), job_.options, decoding_);
  }

  void commit(Item& item, const std::vector<uint32_t>& numbers) {
    while (!writer_ || current_.number != item.shard) begin_shard(numbers[next_number_]);
    if (auto* record = std::get_if<Record>(&item.result)) {
      writer_->append(*record);
    } else {
      current_.skipped.push_back(std::get<SkippedSource>(std::move(item.result)));
      callbacks_.on_skip(current_.skipped.back());
    }
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
