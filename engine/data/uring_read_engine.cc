// Reads through io_uring, by way of Boost.Asio: one thread keeps many reads in flight.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/random_access_file.hpp>
#include <deque>
#include <thread>

#include "engine/data/read_engine.h"
#include "format/error.h"

namespace imgtrain::data {
namespace {

namespace asio = boost::asio;
using imgpack::Error;
using imgpack::ErrorKind;

// Small enough that several disks' queues are filled by one block, large enough that the kernel's own splitting
// decides.
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

class UringReadEngine final : public ReadEngine {
 public:
  explicit UringReadEngine(uint32_t reads_in_flight)
      : limit_(std::max(reads_in_flight, 1u)), context_(1), guard_(context_.get_executor()) {
    const asio::random_access_file probe(context_);  // Throws where there is no io_uring, before there is a thread.
    thread_ = std::thread([this] { context_.run(); });
  }

  ~UringReadEngine() override {
    cancel_queued();
    guard_.reset();  // The thread ends with the last read in flight.
    thread_.join();
  }

  void submit(std::shared_ptr<ReadTask> task) override {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(task));
    }
    asio::post(context_, [this] { start_queued(); });
  }

  void cancel_queued() override {
    std::deque<std::shared_ptr<ReadTask>> dropped;
    {
      const std::lock_guard lock(mutex_);
      dropped.swap(queue_);
    }
    for (const auto& task : dropped)
      task->end(std::make_exception_ptr(Error(ErrorKind::kInterrupted, "reading was cancelled")));
  }

  ReadCounters counters() const override { return meter_.counters(); }
  const char* name() const override { return "io_uring"; }

 private:
  // A task whose reads are in flight. Touched by the engine's thread alone.
  struct Flight {
    std::shared_ptr<ReadTask> task;
    ReadJob job;
    std::shared_ptr<asio::random_access_file> file;
    size_t pending = 0;
    std::exception_ptr error;
  };

  // The rest of a read of which `got` bytes of the part have come.
  struct Piece {
    std::shared_ptr<Flight> flight;
    ReadPart part;
    uint64_t got = 0;
  };

  void start_queued() {
    while (in_flight_ < limit_) {
      std::shared_ptr<ReadTask> task;
      {
        const std::lock_guard lock(mutex_);
        if (queue_.empty()) return;
        task = std::move(queue_.front());
        queue_.pop_front();
      }
      auto flight = std::make_shared<Flight>();
      flight->task = std::move(task);
      meter_.begin_task();
      std::vector<Piece> pieces;
      try {
        flight->job = flight->task->begin();
        flight->file = asio_file(flight->job.file);
        for (const ReadPart& part : flight->job.parts) {
          meter_.count(part.to.size());
          cut(part, flight, pieces);
        }
      } catch (...) {
        flight->error = std::current_exception();
        pieces.clear();
      }
      flight->pending = pieces.size();
      if (pieces.empty()) finish(*flight);
      for (Piece& piece : pieces) {
        ++in_flight_;
        read(std::move(piece));
      }
    }
  }

  static void cut(const ReadPart& part, const std::shared_ptr<Flight>& flight, std::vector<Piece>& pieces) {
    for (uint64_t at = 0; at < part.to.size(); at += kPieceBytes) {
      const uint64_t bytes = std::min<uint64_t>(kPieceBytes, part.to.size() - at);
      const uint64_t needed = part.needed > at ? std::min(bytes, part.needed - at) : 0;
      pieces.push_back({flight, {part.offset + at, part.to.subspan(at, bytes), needed}, 0});
    }
  }

  void read(Piece piece) {
    const auto rest = piece.part.to.subspan(piece.got);
    const uint64_t offset = piece.part.offset + piece.got;
    asio::random_access_file& file = *piece.flight->file;
    file.async_read_some_at(offset, asio::buffer(rest.data(), rest.size()),
                            [this, piece = std::move(piece)](boost::system::error_code error, size_t got) mutable {
                              arrived(std::move(piece), error, got);
                            });
  }

  void arrived(Piece piece, boost::system::error_code error, size_t got) {
    piece.got += got;
    Flight& flight = *piece.flight;
    const bool more = !error && got > 0 && piece.got < piece.part.needed;
    if (more && flight.error == nullptr) return read(std::move(piece));
    try {
      if (error && error != asio::error::eof)
        throw Error(ErrorKind::kIo, "cannot read: " + error.message(), flight.job.file->path(), piece.part.offset);
      if (!more) require_enough(piece.part, piece.got, *flight.job.file);
    } catch (...) {
      if (flight.error == nullptr) flight.error = std::current_exception();
    }
    --in_flight_;
    if (--flight.pending == 0) finish(flight);
    start_queued();
  }

  void finish(Flight& flight) {
    meter_.end_task();
    flight.task->end(flight.error);
  }

  // Asio wants a descriptor of its own. Kept for the files of the last tasks; a block's neighbours are in the same.
  std::shared_ptr<asio::random_access_file> asio_file(const std::shared_ptr<const imgpack::RandomAccessFile>& file) {
    for (const auto& [known, opened] : files_) {
      if (known.lock() == file) return opened;
    }
    const int descriptor = ::dup(file->descriptor());
    if (descriptor < 0) throw Error(ErrorKind::kIo, "cannot duplicate the file's descriptor", file->path());
    auto opened = std::make_shared<asio::random_access_file>(context_, descriptor);
    std::erase_if(files_, [](const auto& entry) { return entry.first.expired(); });
    files_.emplace_back(file, opened);
    return opened;
  }

  ReadMeter meter_;
  const uint32_t limit_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<ReadTask>> queue_;

  uint32_t in_flight_ = 0;  // The rest: of the engine's thread.
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::vector<std::pair<std::weak_ptr<const imgpack::RandomAccessFile>, std::shared_ptr<asio::random_access_file>>>
      files_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ReadEngine> make_uring_engine(uint32_t reads_in_flight) {
  try {
    return std::make_unique<UringReadEngine>(reads_in_flight);
  } catch (const boost::system::system_error&) {
    return nullptr;
  }
}

}  // namespace imgtrain::data
