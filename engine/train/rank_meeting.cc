#include "engine/train/rank_meeting.h"

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#ifdef IMGTRAIN_WITH_CUDA
#include <cuda_runtime_api.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "format/error.h"

namespace imgtrain {

using imgpack::Error;
using imgpack::ErrorKind;

std::string rank_text(int rank, int world) {
  return "rank " + std::to_string(rank) + " of " + std::to_string(world);
}

// The first line of what a library threw; what follows is its stack.
std::string first_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

namespace {

// Of an answer of the store to the watch.
constexpr std::chrono::milliseconds kBoardTimeout{10'000};

std::string beat_key(int rank) {
  return "beat/" + std::to_string(rank);
}

std::vector<uint8_t> bytes_of_text(const std::string& text) {
  return {text.begin(), text.end()};
}

// Over a connection of its own: the trainer's may be busy waiting.
class StoreBoard : public RankBoard {
 public:
  StoreBoard(c10::intrusive_ptr<c10d::Store> store, int world) : store_(std::move(store)) {
    for (int rank = 0; rank < world; ++rank) keys_.push_back(beat_key(rank));
  }
  void set(int rank, const std::string& text) override { store_->set(beat_key(rank), bytes_of_text(text)); }
  std::vector<std::string> get_all() override {
    std::vector<std::string> texts;
    for (const std::vector<uint8_t>& bytes : store_->multiGet(keys_)) texts.emplace_back(bytes.begin(), bytes.end());
    return texts;
  }

 private:
  c10::intrusive_ptr<c10d::Store> store_;
  std::vector<std::string> keys_;
};

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string rank_key(int rank) {
  return "rank/" + std::to_string(rank);
}

// Which physical device a rank computes on; empty on the CPU, where sharing is no mistake.
std::string device_identity([[maybe_unused]] torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) {
    char bus[64] = {};
    if (::cudaDeviceGetPCIBusId(bus, sizeof bus, device.index()) == cudaSuccess) return bus;
  }
#endif
  return {};
}

// `serves`: whether this connection is also the store itself.
c10::intrusive_ptr<c10d::Store> open_store(const Launch& launch, bool serves, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = launch.master_port;
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = timeout;
  if (serves && launch.store_descriptor >= 0) options.masterListenFd = launch.store_descriptor;
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(launch.master_address, options);
    return c10::make_intrusive<c10d::PrefixStore>("imgtrain/" + launch.run_id, std::move(store));
  } catch (const std::exception& error) {
    const std::string where = launch.master_address + ":" + std::to_string(launch.master_port);
    if (options.isServer)
      throw Error(
          ErrorKind::kIo,
          rank_text(launch.rank, launch.world) + " cannot serve the meeting point " + where + ": " + first_line(error),
          {}, {}, "if another run uses that port, set MASTER_PORT to a free one on every rank");
    throw Error(ErrorKind::kIo,
                rank_text(launch.rank, launch.world) + " cannot reach rank 0 at " + where + ": " + first_line(error),
                {}, {}, "check that rank 0 runs, and that no firewall closes the port");
  }
}

std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}
// What rank 0 finds out about the gathering. Empty: all is well.
struct RollCall {
  ErrorKind kind = ErrorKind::kIo;
  std::string problem;
};

RollCall judge(const Launch& launch, c10d::Store& store, std::chrono::milliseconds timeout) {
  std::vector<std::string> keys;
  for (int rank = 0; rank < launch.world; ++rank) keys.push_back(rank_key(rank));
  try {
    store.wait(keys, timeout);
  } catch (const std::exception&) {
    std::string missing;
    for (int rank = 0; rank < launch.world; ++rank)
      if (!store.check({rank_key(rank)})) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
    return {ErrorKind::kIo,
            "not all ranks came within " + std::to_string(timeout.count() / 1000) + " s; missing: rank " + missing};
  }
  std::map<std::string, int> devices;
  for (int rank = 0; rank < launch.world; ++rank) {
    const std::string peer = text_of(store.get(rank_key(rank)));
    const std::string world = peer.substr(0, peer.find('\n')), device = peer.substr(world.size() + 1);
    if (world != std::to_string(launch.world))
      return {ErrorKind::kUsage, "ranks disagree on how many there are: expected " + std::to_string(launch.world) +
                                     " as rank 0 says, rank " + std::to_string(rank) + " says " + world};
    if (device.empty()) continue;
    const auto [other, is_new] = devices.emplace(device, rank);
    if (!is_new)
      return {ErrorKind::kUsage, "ranks " + std::to_string(other->second) + " and " + std::to_string(rank) +
                                     " use the same GPU: expected one process per device (LOCAL_RANK chooses it)"};
  }
  return {};
}

// Every rank says that it is here; rank 0 waits for all of them and tells everyone how it went, so that all ranks end
// with the same sentence and the one that is missing is named.
void meet(const Launch& launch, c10d::Store& store, torch::Device device, std::chrono::milliseconds timeout) {
  constexpr const char* kVerdict = "verdict";
  constexpr std::chrono::seconds kMoment{2};
  try {
    const std::string identity = device_identity(device);
    store.set(rank_key(launch.rank), bytes_of_text(std::to_string(launch.world) + "\n" +
                                                   (identity.empty() ? "" : host_name() + "/" + identity)));
    RollCall roll;
    if (launch.rank == 0) {
      roll = judge(launch, store, timeout);
      store.set(kVerdict, bytes_of_text((roll.kind == ErrorKind::kIo ? "0" : "1") + roll.problem));
      // The store ends with this process: the others need a moment to read what it says.
      if (!roll.problem.empty() && !launch.store_is_served) std::this_thread::sleep_for(kMoment);
    } else {
      store.wait({kVerdict}, timeout + kMoment);
      const std::string said = text_of(store.get(kVerdict));
      roll = {said.at(0) == '0' ? ErrorKind::kIo : ErrorKind::kUsage, said.substr(1)};
    }
    if (!roll.problem.empty())
      throw Error(roll.kind, rank_text(launch.rank, launch.world) + ": " + roll.problem, {}, {},
                  "look at the log of the ranks that it names");
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(
        ErrorKind::kIo,
        rank_text(launch.rank, launch.world) + " lost rank 0 while the ranks were meeting: " + first_line(error), {},
        {}, "look at the log of rank 0");
  }
}

c10::intrusive_ptr<c10d::Backend> make_backend(const Launch& launch, const c10::intrusive_ptr<c10d::Store>& store,
                                               torch::Device device, std::chrono::milliseconds timeout) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, launch.rank, launch.world, options);
  }
#endif
  if (!device.is_cpu())
    throw Error(ErrorKind::kUsage,
                "no way to exchange gradients on this device: expected cpu or cuda, found " + device.str());
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  // The address at which the master is reached is one at which peers reach this host; a host name may not be.
  options->devices.push_back(interface && *interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                     : c10d::ProcessGroupGloo::createDeviceForHostname(
                                                           own_address_towards(launch.master_address)));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, launch.rank, launch.world, options);
}

}  // namespace

Meeting meet_ranks(const Launch& launch, torch::Device device, std::chrono::milliseconds timeout) {
  auto store = open_store(launch, launch.rank == 0 && !launch.store_is_served, timeout);
  const std::string host = host_name() + " (" + own_address_towards(launch.master_address) + ")";
  try {
    // Before the meeting, so that everyone's record is there after it.
    store->set(beat_key(launch.rank), bytes_of_text(to_text({.host = host})));
  } catch (const std::exception&) {  // The meeting says so.
  }
  meet(launch, *store, device, timeout);
  try {
    auto board = std::make_shared<StoreBoard>(open_store(launch, /*serves=*/false, kBoardTimeout), launch.world);
    auto backend = make_backend(launch, store, device, timeout);
    return {std::move(store), std::move(backend), std::move(board), host};
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kIo,
                rank_text(launch.rank, launch.world) + " cannot connect to the others: " + first_line(error), {}, {},
                "every rank must be able to open connections to every other");
  }
}

}  // namespace imgtrain
