#include "engine/data/batch_pipeline.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/data/batch_planner.h"
#include "engine/data/block_reader.h"
#include "engine/data/decode_arenas.h"
#include "engine/data/local_copy.h"
#include "engine/data/pipeline_sizes.h"
#include "engine/data/remote_shards.h"
#include "engine/data/sample_decoder.h"
#include "engine/data/slot_pool.h"
#include "engine/data/stopwatch.h"
#include "engine/data/worker_share.h"
#include "format/error.h"
#include "format/remote_files.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// A batch between its slot and the consumer.
struct Flight {
  uint64_t index = 0, digest = 0;
  uint32_t global_count = 0, first = 0, count = 0;
  std::shared_ptr<Slot> slot;
  std::atomic<uint32_t> remaining{0};
  struct Failure {
    uint32_t at;  // In the batch.
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::vector<Failure> failures;  // In the order in which threads came upon them.
};

// The message, if this says that a record is damaged; disks that fail and broken promises are no record's fault.
std::optional<std::string> damage_in(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::kCorruption || failure.kind() == ErrorKind::kInvalidInput) return failure.what();
  } catch (...) {
  }
  return std::nullopt;
}

// Some consecutive samples of a batch: one task.
struct Chunk {
  std::shared_ptr<Flight> flight;
  uint32_t first = 0;
  std::vector<PlannedSample> samples;
};

// Of shards behind a network, as many blocks are read at once as there are connections. Memory for twice as many:
// blocks are taken in order, and those that came before a slower one must not keep their connections waiting.
PipelineOptions for_source(PipelineOptions options, const std::optional<imgpack::RemoteReading>& remote) {
  if (!remote.has_value()) return options;
  options.read_threads = std::max(remote->connections, 1u);
  options.read_ahead_bytes = std::max(options.read_ahead_bytes, 2 * options.read_threads * options.order.block_bytes);
  return options;
}

std::unique_ptr<RemoteShards> remote_shards(imgpack::FileSystem& fs, const imgpack::Dataset& dataset,
                                            const PipelineOptions& options) {
  const auto remote = imgpack::how_to_read(fs, dataset.folder());
  if (!remote.has_value()) return nullptr;
  RemoteShardsOptions wanted;
  wanted.cache = options.local_copy;
  wanted.cache_limit = remote->cache_limit;
  return std::make_unique<RemoteShards>(fs, dataset, options.split, wanted);
}

BlockReaderOptions reader_options(const PipelineOptions& options, CacheMode cache, uint64_t keep_bytes,
                                  uint64_t usual_bytes) {
  BlockReaderOptions result;
  result.backend = options.read_backend;
  result.threads = options.read_threads;
  result.cache = cache;
  result.keep_bytes = keep_bytes;
  result.usual_bytes = usual_bytes;
  return result;
}

}  // namespace

struct BatchPipeline::State {
  State(imgpack::FileSystem& fs, const imgpack::Dataset& dataset_, const PipelineOptions& wanted, SlotAllocator& slots)
      : options(for_source(checked(wanted), imgpack::how_to_read(fs, dataset_.folder()))),
        dataset(dataset_),
        split(dataset.split(options.split)),
        order(split, options.order),
        budget(block_budget(split, order, options)),
        signal(std::make_shared<Signal>()),
        share(options.threads),
        arenas(options.threads, options.numa_node),
        pool(make_pool(slots)),
        held(std::make_shared<std::atomic<uint32_t>>(0)),
        remote(remote_shards(fs, dataset, options)),
        cache(remote != nullptr ? CacheDecision{CacheMode::kKeep, remote->describe()}
                                : decide_cache(options.cache, shard_bytes(split), available_memory_bytes())),
        reader(
            remote != nullptr ? *remote : fs, [this](uint32_t shard) { return where_is(shard); },
            reader_options(options, cache.mode, budget, usual_block_bytes(split, options)), signal) {
    decoders.reserve(options.threads);
    if (!options.local_copy.empty() && remote == nullptr)
      copy = std::make_unique<LocalCopy>(
          fs, LocalCopyOptions{dataset.folder(), options.local_copy / dataset.manifest().dataset_id, options.split},
          split.info.shards, shards_of_rank(split, order, options));
  }

  ~State() {
    cancel();
    // TBB still owns tasks that will find nothing to do; they refer to this object.
    std::unique_lock lock(mutex);
    idle.wait(lock, [&] { return tasks == 0; });
  }

  static uint64_t image_bytes(uint64_t size) { return size * size * 3; }

  // Beside the decoders, and so beside the GPU that they work for.
  std::shared_ptr<SlotPool> make_pool(SlotAllocator& slots) const {
    std::shared_ptr<SlotPool> made;
    arenas.run_there([&] {
      made = SlotPool::make(slots, options.slots, largest_share(order, options), image_bytes(options.size), signal);
    });
    return made;
  }

  std::filesystem::path where_is(uint32_t shard) const {
    return copy != nullptr ? copy->path(shard) : dataset.shard_path(options.split, shard);
  }

  void start(uint64_t epoch_number, uint64_t first_batch, const EpochSettings& settings);
  void cancel();
  void feed(uint64_t first_batch);
  void enqueue(Chunk chunk);
  void work();
  void run(Chunk& chunk, std::unique_ptr<SampleDecoder>& decoder) noexcept;
  std::optional<Batch> next();
  bool wait_for_next(std::chrono::milliseconds patience);
  // Both REQUIRE that `mutex` is held.
  bool front_is_ready() const {
    return !flights.empty() && flights.front()->remaining.load(std::memory_order_acquire) == 0;
  }
  bool all_slots_are_held() const { return flights.empty() && !feeder_ended && *held == options.slots; }
  bool next_is_known() const { return front_is_ready() || (feeder_ended && (flights.empty() || failure != nullptr)); }
  std::exception_ptr close_up(Flight& flight, std::vector<std::string>& messages);

  const PipelineOptions options;
  const imgpack::Dataset& dataset;
  const imgpack::SplitView& split;
  const SampleOrder order;
  const uint64_t budget;
  const std::shared_ptr<Signal> signal;  // Rings when a block, a slot or a hungry decoder may let the feeder go on.
  WorkerShare share;
  DecodeArenas arenas;
  const std::shared_ptr<SlotPool> pool;
  const std::shared_ptr<std::atomic<uint32_t>> held;  // Batches that the consumer has not given back.
  const std::unique_ptr<RemoteShards> remote;         // nullptr: shards are files of this machine.
  const CacheDecision cache;
  std::unique_ptr<LocalCopy> copy;  // nullptr: shards are read where they are.
  BlockReader reader;

  // Of the epoch in progress; set while nothing runs.
  uint64_t epoch = 0;
  uint32_t size = 0;
  std::thread feeder;
  ReadCounters read_before;
  std::atomic<bool> stop{false};
  std::atomic<bool> feeder_is_hungry{false};  // It waits for the decoders to finish something.
  Stopwatch wait_for_slot, wait_for_read, wait_for_batch, work_time;
  SampleStages stages;
  std::atomic<uint64_t> fast_path{0}, reference_path{0}, left_out{0};

  mutable std::mutex mutex;
  std::condition_variable finished;  // A batch is complete, or the feeder has ended.
  std::condition_variable idle;      // A task has ended.
  std::deque<Chunk> chunks;
  std::vector<std::unique_ptr<SampleDecoder>> decoders;  // Those that no task uses.
  uint64_t tasks = 0;                                    // Handed to TBB and not ended.
  uint64_t running = 0;                                  // Chunks being decoded.
  std::deque<std::shared_ptr<Flight>> flights;           // In the order of the batches.
  bool started = false, feeder_ended = true;
  std::exception_ptr failure;
  uint64_t digest = 0;
};

void BatchPipeline::State::start(uint64_t epoch_number, uint64_t first_batch, const EpochSettings& settings) {
  if (first_batch > order.batches_per_epoch())
    throw Error(ErrorKind::kUsage, "first batch beyond the epoch: expected at most " +
                                       std::to_string(order.batches_per_epoch()) + ", found " +
                                       std::to_string(first_batch));
  if (settings.size > options.size)
    throw Error(ErrorKind::kUsage, "image size above the pipeline's own: expected at most " +
                                       std::to_string(options.size) + ", found " + std::to_string(settings.size));
  cancel();
  epoch = epoch_number;
  size = settings.size == 0 ? options.size : settings.size;
  stop = false;
  feeder_is_hungry = false;
  read_before = reader.counters();
  for (Stopwatch* watch : {&wait_for_slot, &wait_for_read, &wait_for_batch, &work_time, &stages.check, &stages.augment})
    watch->reset();
  fast_path = 0;
  reference_path = 0;
  left_out = 0;
  {
    const std::lock_guard lock(mutex);
    failure = nullptr;
    digest = settings.digest;
    started = true;
    feeder_ended = false;
  }
  if (copy != nullptr) copy->start();
  feeder = std::thread([this, first_batch] {
    std::exception_ptr error;
    try {
      feed(first_batch);
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex);
    feeder_ended = true;
    if (error != nullptr) failure = error;
    finished.notify_all();
  });
}

void BatchPipeline::State::cancel() {
  stop = true;
  if (remote != nullptr) remote->interrupt();
  reader.cancel();
  signal->ring();
  if (feeder.joinable()) feeder.join();
  if (remote != nullptr) remote->interrupt();  // What was opened in between.
  std::deque<Chunk> dropped;
  std::deque<std::shared_ptr<Flight>> dropped_flights;
  std::unique_lock lock(mutex);
  dropped.swap(chunks);
  idle.wait(lock, [&] { return running == 0; });
  dropped_flights.swap(flights);
  lock.unlock();
  reader.cancel();  // What the feeder asked for in between.
}

// Plans batches, asks for their blocks as far ahead as memory permits, and hands samples to the decoders as soon as
// their block is there and their batch has a slot. Runs on a thread of its own and is the only one that decides order.
void BatchPipeline::State::feed(uint64_t first_batch) {
  struct Ahead {
    PlannedBatch plan;
    std::shared_ptr<Flight> flight;  // Once it has a slot.
    size_t requested = 0, fed = 0;   // Samples.
  };
  BatchPlanner planner(split, order, {options.rank, options.world, options.bn_group}, epoch, first_batch);
  std::deque<Ahead> ahead;
  bool planned_all = false;
  // Enough to fill the read-ahead memory with blocks of ordinary photographs.
  const uint64_t plan_ahead = 2 * uint64_t{order.batch()} / options.world + 2048;
  const uint32_t chunk_samples = std::clamp<uint32_t>(order.batch() / options.world / (4 * options.threads), 1u, 8u);
  uint64_t unfed = 0;

  const auto decoders_hungry = [&] {
    const std::lock_guard lock(mutex);
    return chunks.size() + running <= 2 * uint64_t{options.threads};
  };
  // Requests the blocks of planned samples in order until memory is full. The sample that is to be decoded next gets
  // its block in any case, once the decoders have nothing left that would free memory.
  const auto request_blocks = [&] {
    for (size_t i = 0; i < ahead.size(); ++i) {
      Ahead& batch = ahead[i];
      for (; batch.requested < batch.plan.samples.size(); ++batch.requested) {
        BlockUse& use = *batch.plan.samples[batch.requested].block;
        if (use.loaded != nullptr) continue;
        const bool needed_now = i == 0 && batch.requested == batch.fed;
        if (reader.memory_bytes() + reader.memory_for(use.request) > budget) {
          if (!needed_now) return;
          feeder_is_hungry = true;
          if (!decoders_hungry()) return;
        }
        use.loaded = reader.request(use.request);
      }
    }
  };

  while (!stop) {
    const uint64_t seen = signal->count();
    while (!planned_all && (ahead.empty() || unfed < plan_ahead)) {
      std::optional<PlannedBatch> plan = planner.next();
      if (!plan.has_value()) {
        planned_all = true;
        break;
      }
      unfed += plan->samples.size();
      ahead.push_back({std::move(*plan), nullptr, 0, 0});
    }
    if (ahead.empty()) return;
    feeder_is_hungry = false;
    request_blocks();

    Ahead& batch = ahead.front();
    if (batch.flight == nullptr) {
      if (std::shared_ptr<Slot> slot = pool->try_take()) {
        batch.flight = std::make_shared<Flight>();
        batch.flight->index = batch.plan.index;
        batch.flight->digest = batch.plan.digest;
        batch.flight->global_count = batch.plan.global_count;
        batch.flight->first = batch.plan.first;
        batch.flight->count = static_cast<uint32_t>(batch.plan.samples.size());
        batch.flight->remaining = batch.flight->count;
        batch.flight->slot = std::move(slot);
        const std::lock_guard lock(mutex);
        flights.push_back(batch.flight);
        if (batch.flight->count == 0) finished.notify_all();
      }
    }
    bool progress = false;
    if (batch.flight != nullptr) {
      Chunk chunk{batch.flight, static_cast<uint32_t>(batch.fed), {}};
      while (batch.fed < batch.plan.samples.size()) {
        PlannedSample& sample = batch.plan.samples[batch.fed];
        if (sample.block->loaded == nullptr || sample.block->loaded->status() == BlockStatus::kQueued) break;
        chunk.samples.push_back(std::move(sample));
        ++batch.fed;
        --unfed;
        progress = true;
        if (chunk.samples.size() == chunk_samples) {
          enqueue(std::exchange(chunk, Chunk{batch.flight, static_cast<uint32_t>(batch.fed), {}}));
        }
      }
      if (!chunk.samples.empty()) enqueue(std::move(chunk));
      if (batch.fed == batch.plan.samples.size()) {
        ahead.pop_front();
        progress = true;
      }
    }
    if (progress) continue;
    const Stopwatch::Lap lap(ahead.front().flight == nullptr ? wait_for_slot : wait_for_read);
    signal->wait_beyond(seen);
  }
}

void BatchPipeline::State::enqueue(Chunk chunk) {
  {
    const std::lock_guard lock(mutex);
    chunks.push_back(std::move(chunk));
    ++tasks;
  }
  // Says in C++ what TBB's queue does anyway: what was done before a task is handed over is seen by the task. For
  // ThreadSanitizer, which cannot look into TBB.
  static std::atomic<uint64_t> handed_over{0};
  handed_over.fetch_add(1, std::memory_order_release);
  arenas.enqueue([this] {
    handed_over.load(std::memory_order_acquire);
    work();
  });
}

// One TBB task: takes the oldest chunk there is, so that batches finish in order.
void BatchPipeline::State::work() {
  Chunk chunk;
  std::unique_ptr<SampleDecoder> decoder;
  {
    const std::lock_guard lock(mutex);
    if (!chunks.empty()) {
      chunk = std::move(chunks.front());
      chunks.pop_front();
      ++running;
      if (!decoders.empty()) {
        decoder = std::move(decoders.back());
        decoders.pop_back();
      }
    }
  }
  const bool found = chunk.flight != nullptr;
  if (found) {
    run(chunk, decoder);
    chunk = Chunk();  // Frees its blocks before anyone is told that memory may be free.
    if (feeder_is_hungry) signal->ring();
  }
  const std::lock_guard lock(mutex);
  if (found) --running;
  --tasks;
  if (decoder != nullptr && decoders.size() < decoders.capacity()) decoders.push_back(std::move(decoder));
  idle.notify_all();
}

void BatchPipeline::State::run(Chunk& chunk, std::unique_ptr<SampleDecoder>& decoder) noexcept {
  const Stopwatch::Lap lap(work_time);
  Flight& flight = *chunk.flight;
  uint64_t fast = 0, reference = 0;
  for (uint32_t i = 0; i < chunk.samples.size(); ++i) {
    if (stop) return;
    const uint32_t at = chunk.first + i;
    try {
      if (decoder == nullptr) decoder = std::make_unique<SampleDecoder>(dataset, options, stages);
      const auto path = decoder->decode(chunk.samples[i], epoch, size, flight.slot->images + at * image_bytes(size),
                                        flight.slot->labels[at], flight.slot->ids[at], flight.slot->blanks[at]);
      ++(path == imgpack::jpeg::DecodePath::kFast ? fast : reference);
    } catch (...) {
      const std::lock_guard lock(flight.mutex);
      flight.failures.push_back({at, std::current_exception()});
    }
  }
  fast_path += fast;
  reference_path += reference;
  const auto samples = static_cast<uint32_t>(chunk.samples.size());
  if (flight.remaining.fetch_sub(samples, std::memory_order_acq_rel) == samples) {
    const std::lock_guard lock(mutex);
    finished.notify_all();
  }
}

// Leaves the samples that failed out of a finished batch, or says which of them may not be left out: the first of the
// order, whatever thread it was that came upon one first.
std::exception_ptr BatchPipeline::State::close_up(Flight& flight, std::vector<std::string>& messages) {
  if (flight.failures.empty()) return nullptr;
  std::sort(flight.failures.begin(), flight.failures.end(),
            [](const Flight::Failure& a, const Flight::Failure& b) { return a.at < b.at; });
  for (const Flight::Failure& failed : flight.failures) {
    std::optional<std::string> damage = damage_in(failed.error);
    if (!damage.has_value() || left_out >= options.max_bad_records) return failed.error;
    ++left_out;
    messages.push_back(std::move(*damage));
  }
  const uint64_t bytes = image_bytes(size);
  const Slot& slot = *flight.slot;
  auto failed = flight.failures.begin();
  uint32_t to = 0;
  for (uint32_t from = 0; from < flight.count; ++from) {
    if (failed != flight.failures.end() && failed->at == from) {
      ++failed;
      continue;
    }
    if (to != from) {
      std::copy_n(slot.images + from * bytes, bytes, slot.images + to * bytes);
      slot.labels[to] = slot.labels[from];
      slot.ids[to] = slot.ids[from];
      slot.blanks[to] = slot.blanks[from];
    }
    ++to;
  }
  flight.count = to;
  return nullptr;
}

std::optional<Batch> BatchPipeline::State::next() {
  std::shared_ptr<Flight> flight;
  std::vector<std::string> left_out_here;
  {
    const Stopwatch::Lap lap(wait_for_batch);
    std::unique_lock lock(mutex);
    if (!started) throw Error(ErrorKind::kInternal, "next() before start_epoch()");
    if (all_slots_are_held())
      throw Error(ErrorKind::kInternal, "all " + std::to_string(options.slots) +
                                            " batch slots are held by the consumer: it must release one before it asks "
                                            "for the next batch");
    finished.wait(lock, [&] { return next_is_known(); });
    if (front_is_ready()) {
      failure = close_up(*flights.front(), left_out_here);
      if (failure == nullptr) {
        flight = std::move(flights.front());
        flights.pop_front();
        digest = chain_digest(digest, flight->digest);
      }
    }
  }
  if (flight == nullptr) {
    if (failure == nullptr) return std::nullopt;
    const std::exception_ptr reason = failure;
    cancel();
    failure = reason;
    std::rethrow_exception(reason);
  }
  ++*held;
  Batch batch;
  batch.images = flight->slot->images;
  batch.labels = flight->slot->labels;
  batch.ids = flight->slot->ids;
  batch.blanks = flight->slot->blanks;
  batch.first = flight->first;
  batch.count = flight->count;
  batch.global_count = flight->global_count;
  batch.size = size;
  batch.epoch = epoch;
  batch.index = flight->index;
  batch.left_out = std::move(left_out_here);
  batch.slot = std::shared_ptr<void>(flight->slot.get(), [slot = flight->slot, count = held](void*) mutable {
    slot.reset();
    --*count;
  });
  return batch;
}

bool BatchPipeline::State::wait_for_next(std::chrono::milliseconds patience) {
  const Stopwatch::Lap lap(wait_for_batch);
  std::unique_lock lock(mutex);
  if (!started || all_slots_are_held()) return true;  // next() says what is wrong.
  return finished.wait_for(lock, patience, [&] { return next_is_known(); });
}

BatchPipeline::BatchPipeline(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const PipelineOptions& options,
                             SlotAllocator& slots)
    : state_(std::make_unique<State>(fs, dataset, options, slots)) {}

BatchPipeline::~BatchPipeline() = default;

uint64_t BatchPipeline::batches_per_epoch() const {
  return state_->order.batches_per_epoch();
}
uint64_t BatchPipeline::samples_per_epoch() const {
  return state_->order.samples_per_epoch();
}
uint32_t BatchPipeline::threads() const {
  return state_->options.threads;
}
uint64_t BatchPipeline::block_memory_bytes() const {
  const bool cached = state_->remote != nullptr && !state_->options.local_copy.empty();
  return state_->budget + (cached ? state_->options.read_threads * state_->remote->unit_memory_bytes() : 0);
}

std::string BatchPipeline::reading() const {
  if (state_->remote != nullptr)
    return std::to_string(state_->options.read_threads) + " reads at once, " + state_->remote->describe();
  const CacheMode mode = state_->reader.cache_mode();
  std::string text = std::string(state_->reader.backend()) + ", page cache: " + std::string(to_string(mode)) + " (" +
                     state_->cache.reason + ")";
  if (mode != state_->cache.mode) text += ", the file system cannot be read past the page cache";
  if (state_->copy != nullptr) text += "; local copy: " + state_->copy->progress();
  return text;
}

std::vector<std::string> BatchPipeline::take_notes() {
  if (state_->remote != nullptr) return state_->remote->take_notes();
  return state_->copy != nullptr ? state_->copy->take_notes() : std::vector<std::string>();
}

void BatchPipeline::start_epoch(uint64_t epoch, uint64_t first_batch, const EpochSettings& settings) {
  state_->start(epoch, first_batch, settings);
}

std::optional<Batch> BatchPipeline::next() {
  return state_->next();
}

bool BatchPipeline::wait_for_next(std::chrono::milliseconds patience) {
  return state_->wait_for_next(patience);
}

StageSeconds BatchPipeline::stage_seconds() const {
  StageSeconds seconds;
  const ReadCounters read = state_->reader.counters();
  seconds.read = read.busy_seconds - state_->read_before.busy_seconds;
  seconds.bytes_read = read.bytes - state_->read_before.bytes;
  seconds.check = state_->stages.check.seconds();
  seconds.augment = state_->stages.augment.seconds();
  seconds.decode = std::max(0.0, state_->work_time.seconds() - seconds.check - seconds.augment);
  seconds.wait_for_slot = state_->wait_for_slot.seconds();
  seconds.wait_for_read = state_->wait_for_read.seconds();
  seconds.wait_for_batch = state_->wait_for_batch.seconds();
  seconds.fast_path = state_->fast_path;
  seconds.reference_path = state_->reference_path;
  seconds.left_out = state_->left_out;
  return seconds;
}

uint64_t BatchPipeline::order_digest() const {
  const std::lock_guard lock(state_->mutex);
  return state_->digest;
}

}  // namespace imgtrain::data
