#include "engine/data/numa.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "format/error.h"

namespace imgtrain::data {
namespace {

constexpr int kMaxCpu = 1 << 16;

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const auto fail = [&] {
    throw imgpack::Error(imgpack::ErrorKind::kInvalidInput,
                         "not a list of CPUs: expected ranges as in 0-3,8, found '" + std::string(text) + "'");
  };
  const auto number = [&](std::string_view digits) {
    int value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0 || value > kMaxCpu) fail();
    return value;
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view range = text.substr(begin, end - begin);
    const size_t dash = range.find('-');
    const int first = number(range.substr(0, dash));
    const int last = dash == std::string_view::npos ? first : number(range.substr(dash + 1));
    if (last < first) fail();
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    begin = end + 1;
  }
  return cpus;
}

std::vector<NumaNode> numa_nodes(const std::filesystem::path& folder, const std::vector<int>& allowed) {
  std::vector<NumaNode> nodes;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("node")) continue;
    NumaNode node;
    const char* end = name.data() + name.size();
    if (const auto [rest, error] = std::from_chars(name.data() + 4, end, node.id); error != std::errc() || rest != end)
      continue;
    std::ifstream file(entry.path() / "cpulist");
    std::string text;
    std::getline(file, text);
    for (const int cpu : parse_cpu_list(text))
      if (std::binary_search(allowed.begin(), allowed.end(), cpu)) node.cpus.push_back(cpu);
    if (!node.cpus.empty()) nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(), [](const NumaNode& a, const NumaNode& b) { return a.id < b.id; });
  if (nodes.empty()) nodes.push_back({0, allowed});
  return nodes;
}

const std::vector<NumaNode>& numa_nodes() {
  static const std::vector<NumaNode> nodes = numa_nodes("/sys/devices/system/node", allowed_cpus());
  return nodes;
}

CoreShare share_cores(const std::vector<NumaNode>& nodes, const std::vector<int>& gpu_node, uint32_t rank) {
  size_t cores = 0;
  for (const NumaNode& node : nodes) cores += node.cpus.size();
  const size_t ranks = gpu_node.size();
  // Rank `index` of `count` that divide `from` cores: those that come first take the remainder.
  const auto part = [](size_t from, size_t count, size_t index) {
    return static_cast<uint32_t>(std::max<size_t>(1, from / count + (index < from % count)));
  };
  const CoreShare anywhere{part(cores, ranks, rank), -1};
  if (nodes.size() < 2) return anywhere;
  CoreShare bound = anywhere;
  for (size_t r = 0; r < ranks; ++r) {
    const auto home =
        std::find_if(nodes.begin(), nodes.end(), [&](const NumaNode& node) { return node.id == gpu_node[r]; });
    if (home == nodes.end()) return anywhere;
    const auto neighbours = static_cast<size_t>(std::count(gpu_node.begin(), gpu_node.end(), home->id));
    if (4 * home->cpus.size() * ranks < 3 * cores * neighbours) return anywhere;
    if (r != rank) continue;
    const auto before = std::count(gpu_node.begin(), gpu_node.begin() + static_cast<ptrdiff_t>(r), home->id);
    bound = {part(home->cpus.size(), neighbours, static_cast<size_t>(before)), home->id};
  }
  return bound;
}

}  // namespace imgtrain::data
