#include "engine/train/run/launch.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "format/error.h"

extern char** environ;

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using Environment = std::map<std::string, std::string>;

// Slurm gives no port. One per job, above the registered ports and below the ephemeral ones, keeps jobs apart.
constexpr int64_t kSlurmFirstPort = 15000, kSlurmPorts = 10000;
constexpr int64_t kMaxWorld = 1 << 20;

std::string text(const Environment& environment, const std::string& name, const std::string& fallback = {}) {
  const auto at = environment.find(name);
  return at == environment.end() ? fallback : at->second;
}

bool has(const Environment& environment, const std::string& name) {
  return !text(environment, name).empty();
}

// Reads a number from `low` to `high`. Without a fallback the variable must be there.
int64_t number(const Environment& environment, const std::string& name, int64_t low, int64_t high,
               std::optional<int64_t> fallback = std::nullopt) {
  const std::string value = text(environment, name);
  const std::string range = "expected a number from " + std::to_string(low) + " to " + std::to_string(high);
  if (value.empty()) {
    if (fallback) return *fallback;
    throw Error(ErrorKind::kUsage, "environment variable " + name + " is missing: " + range, {}, {},
                "start the program with torchrun, srun or imgtrain --gpus, which set it");
  }
  int64_t result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() || result < low || result > high)
    throw Error(ErrorKind::kUsage,
                "environment variable " + name + " is out of range: " + range + ", found '" + value + "'");
  return result;
}

Launch from_torchrun(const Environment& environment) {
  Launch launch;
  launch.world = static_cast<int>(number(environment, "WORLD_SIZE", 1, kMaxWorld));
  launch.rank = static_cast<int>(number(environment, "RANK", 0, launch.world - 1));
  launch.local_world = static_cast<int>(number(environment, "LOCAL_WORLD_SIZE", 1, launch.world, 1));
  // Without LOCAL_WORLD_SIZE the number of neighbours is unknown, and LOCAL_RANK may be anything below the world.
  const int local_limit = has(environment, "LOCAL_WORLD_SIZE") ? launch.local_world : launch.world;
  launch.local_rank = static_cast<int>(number(environment, "LOCAL_RANK", 0, local_limit - 1, 0));
  launch.master_address = text(environment, "MASTER_ADDR", launch.world == 1 ? launch.master_address : "");
  if (launch.master_address.empty())
    throw Error(ErrorKind::kUsage, "environment variable MASTER_ADDR is missing: expected the host of rank 0");
  launch.master_port = static_cast<uint16_t>(number(environment, "MASTER_PORT", 1, 65535, launch.master_port));
  launch.store_is_served = text(environment, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.launcher = has(environment, "TORCHELASTIC_RUN_ID") ? "torchrun"
                    : has(environment, "IMGTRAIN_LAUNCHER") ? "imgtrain"
                                                            : "environment";
  if (launch.launcher == "imgtrain" && launch.rank == 0)
    launch.store_descriptor = static_cast<int>(number(environment, "IMGTRAIN_STORE_FD", 0, 1 << 20, -1));
  launch.run_id = text(environment, "IMGTRAIN_RUN_ID", text(environment, "TORCHELASTIC_RUN_ID"));
  if (has(environment, "TORCHELASTIC_RESTART_COUNT"))
    launch.run_id += "." + text(environment, "TORCHELASTIC_RESTART_COUNT");
  return launch;
}

// Tasks on node `node` of a list like `2(x3),1`.
int64_t tasks_on_node(const std::string& list, int64_t node) {
  const auto refuse = [&]() -> int64_t {
    throw Error(ErrorKind::kUsage,
                "environment variable SLURM_STEP_TASKS_PER_NODE is out of range: expected a list like "
                "2(x3),1 with an entry for node " +
                    std::to_string(node) + ", found '" + list + "'");
  };
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at != end) {
    int64_t tasks = 0, repeat = 1;
    auto parsed = std::from_chars(at, end, tasks);
    if (parsed.ec != std::errc() || tasks < 1 || tasks > kMaxWorld) return refuse();
    at = parsed.ptr;
    if (end - at > 2 && at[0] == '(' && at[1] == 'x') {
      parsed = std::from_chars(at + 2, end, repeat);
      if (parsed.ec != std::errc() || repeat < 1 || parsed.ptr == end || *parsed.ptr != ')') return refuse();
      at = parsed.ptr + 1;
    }
    if (node < repeat) return tasks;
    node -= repeat;
    if (at != end && *at++ != ',') return refuse();
  }
  return refuse();
}

Launch from_slurm(const Environment& environment) {
  Launch launch;
  launch.launcher = "slurm";
  launch.world = static_cast<int>(number(environment, "SLURM_STEP_NUM_TASKS", 1, kMaxWorld));
  launch.rank = static_cast<int>(number(environment, "SLURM_PROCID", 0, launch.world - 1));
  const int64_t node = number(environment, "SLURM_NODEID", 0, kMaxWorld);
  launch.local_world = static_cast<int>(tasks_on_node(text(environment, "SLURM_STEP_TASKS_PER_NODE"), node));
  launch.local_rank = static_cast<int>(number(environment, "SLURM_LOCALID", 0, launch.local_world - 1));
  const int64_t job = number(environment, "SLURM_JOB_ID", 0, std::numeric_limits<int64_t>::max());
  launch.run_id = text(environment, "SLURM_JOB_ID") + "." + text(environment, "SLURM_STEP_ID") + "." +
                  text(environment, "SLURM_RESTART_COUNT", "0");
  launch.master_address = has(environment, "MASTER_ADDR") ? text(environment, "MASTER_ADDR")
                                                          : first_host(text(environment, "SLURM_STEP_NODELIST"));
  launch.master_port =
      static_cast<uint16_t>(number(environment, "MASTER_PORT", 1, 65535, kSlurmFirstPort + job % kSlurmPorts));
  return launch;
}

}  // namespace

Launch launch_from(const Environment& environment) {
  if (has(environment, "RANK") || has(environment, "WORLD_SIZE")) return from_torchrun(environment);
  // Inside an srun step only: a batch script itself has SLURM_PROCID too, and nobody to meet.
  if (has(environment, "SLURM_STEP_NUM_TASKS") && text(environment, "SLURM_STEP_NUM_TASKS") != "1")
    return from_slurm(environment);
  return Launch();
}

Launch launch_from_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (const char* equals = std::strchr(*entry, '='))
      environment.emplace(std::string(*entry, static_cast<size_t>(equals - *entry)), equals + 1);
  }
  return launch_from(environment);
}

std::string first_host(const std::string& list) {
  const size_t open = list.find('['), comma = list.find(',');
  if (open < comma) {  // The first host has alternatives in brackets: take the first of them and look again.
    const size_t close = list.find(']', open), end = list.find_first_of("-,]", open);
    if (close != std::string::npos && end > open + 1)
      return first_host(list.substr(0, open) + list.substr(open + 1, end - open - 1) + list.substr(close + 1));
  } else if (const std::string host = list.substr(0, comma); !host.empty()) {
    return host;
  }
  throw Error(ErrorKind::kUsage,
              "not a list of hosts: expected something like node[03-05,9],other, found '" + list + "'", {}, {},
              "set MASTER_ADDR to the host of rank 0");
}

std::string own_address_towards(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), "9", &hints, &found); error != 0)
    throw Error(ErrorKind::kIo, "host '" + host + "' is unknown: " + gai_strerror(error), {}, {},
                "set MASTER_ADDR to a name or address that every host can reach");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> candidates(found, ::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* candidate = found; candidate; candidate = candidate->ai_next) {
    const int socket = ::socket(candidate->ai_family, candidate->ai_socktype | SOCK_CLOEXEC, candidate->ai_protocol);
    if (socket < 0) {
      reason = errno;
      continue;
    }
    // Connecting a datagram socket chooses the route, and thereby the local address, without sending anything.
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    char address[NI_MAXHOST];
    const bool known = ::connect(socket, candidate->ai_addr, candidate->ai_addrlen) == 0 &&
                       ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
                       ::getnameinfo(reinterpret_cast<sockaddr*>(&own), length, address, sizeof address, nullptr, 0,
                                     NI_NUMERICHOST) == 0;
    reason = errno;
    ::close(socket);
    if (known) return address;
  }
  throw Error(ErrorKind::kIo, "no way to host '" + host + "': " + std::generic_category().message(reason));
}

}  // namespace imgtrain
