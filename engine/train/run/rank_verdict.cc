#include "engine/train/run/rank_verdict.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace imgtrain {
namespace {

// Of a record on its way over the network.
constexpr size_t kMaxHostBytes = 256, kMaxMessageBytes = 4096;
// Two processes that share a core may miss a beat; four are a sign.
constexpr double kQuietAfterFailureSeconds = 2;

std::string cut(const std::string& text, size_t most) {
  return text.size() <= most ? text : text.substr(0, most);
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// Takes a number and what follows it off the front.
bool take_number(std::string_view& text, uint64_t most, uint64_t& number, char follows = ' ') {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc() || number > most || length == text.size() || text[length] != follows) return false;
  text.remove_prefix(length + 1);
  return true;
}

std::string seconds_text(double seconds) {
  return std::to_string(static_cast<int64_t>(std::llround(seconds))) + " s";
}

// `rank 2 of 4 on b`, `ranks 2, 3 of 4 on b`, `ranks 1, 2 of 4 (on a; on b)`.
std::string names(const std::vector<RankSight>& all, const std::vector<int>& ranks) {
  std::string numbers;
  std::vector<std::string> hosts;
  for (const int rank : ranks) {
    numbers += (numbers.empty() ? "" : ", ") + std::to_string(rank);
    const std::string& host = all[static_cast<size_t>(rank)].record.host;
    if (!host.empty() && std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  }
  std::string text = (ranks.size() == 1 ? "rank " : "ranks ") + numbers + " of " + std::to_string(all.size());
  for (size_t i = 0; i < hosts.size(); ++i) text += (i == 0 ? " on " : ", ") + hosts[i];
  return text;
}

std::string where(const RankRecord& record) {
  return std::string("in ") + name_of(record.stage) + " at step " + std::to_string(record.step);
}

std::optional<Verdict> failed(const std::vector<RankSight>& ranks) {
  for (size_t i = 0; i < ranks.size(); ++i) {
    const RankRecord& record = ranks[i].record;
    if (!record.failure || record.failure->follows) continue;
    const std::vector<int> culprit = {static_cast<int>(i)};
    return Verdict{record.failure->kind, culprit,
                   names(ranks, culprit) + " failed " + where(record) + ": " + record.failure->message};
  }
  return std::nullopt;
}

// Ended, well or because of another: its silence says nothing.
bool has_left(const RankRecord& record) {
  return record.stage == RankStage::kDone || record.failure.has_value();
}

Verdict lost(const std::vector<RankSight>& ranks, const std::vector<int>& silent) {
  const RankSight& first = ranks[static_cast<size_t>(silent.front())];
  return {imgpack::ErrorKind::kIo, silent,
          names(ranks, silent) + (silent.size() == 1 ? " is lost" : " are lost") + ": silent for " +
              seconds_text(first.silent_seconds) + ", last seen " + where(first.record)};
}

}  // namespace

const char* name_of(RankStage stage) {
  switch (stage) {
    case RankStage::kStarting:
      return "starting";
    case RankStage::kReading:
      return "reading";
    case RankStage::kDecoding:
      return "decoding";
    case RankStage::kCompute:
      return "compute";
    case RankStage::kCommunication:
      return "communication";
    case RankStage::kSaving:
      return "saving";
    case RankStage::kDone:
      return "done";
  }
  return "unknown";
}

std::string to_text(const RankRecord& record) {
  std::string text = std::to_string(record.beat) + " " + std::to_string(record.progress) + " " +
                     std::to_string(record.step) + " " + std::to_string(static_cast<int>(record.stage)) + " ";
  if (record.failure) {
    text += record.failure->follows ? "2 " : "1 ";
    text += std::to_string(static_cast<int>(record.failure->kind));
  } else {
    text += "0 0";
  }
  text += "\n" + one_line(cut(record.host, kMaxHostBytes)) + "\n";
  if (record.failure) text += cut(record.failure->message, kMaxMessageBytes);
  return text;
}

std::optional<RankRecord> rank_record_from(std::string_view text) {
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  RankRecord record;
  uint64_t stage = 0, ended = 0, kind = 0;
  if (!take_number(text, kAny, record.beat) || !take_number(text, kAny, record.progress) ||
      !take_number(text, kAny, record.step) || !take_number(text, static_cast<uint64_t>(RankStage::kDone), stage) ||
      !take_number(text, 2, ended) ||
      !take_number(text, static_cast<uint64_t>(imgpack::ErrorKind::kInternal), kind, '\n'))
    return std::nullopt;
  record.stage = static_cast<RankStage>(stage);
  const size_t line = text.find('\n');
  if (line == std::string_view::npos || line > kMaxHostBytes || text.size() - line - 1 > kMaxMessageBytes)
    return std::nullopt;
  record.host = std::string(text.substr(0, line));
  if (ended > 0)
    record.failure = RankFailure{static_cast<imgpack::ErrorKind>(kind), ended == 2, std::string(text.substr(line + 1))};
  return record;
}

std::optional<Verdict> judge_ranks(const std::vector<RankSight>& ranks, const RankLimits& limits) {
  if (auto verdict = failed(ranks)) return verdict;
  std::vector<int> silent, still, waiting;
  bool everybody_waits = true;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (size_t i = 0; i < ranks.size(); ++i) {
    const RankSight& rank = ranks[i];
    if (has_left(rank.record)) continue;
    if (rank.silent_seconds > limits.silence_seconds) silent.push_back(static_cast<int>(i));
    const bool communicates = rank.record.stage == RankStage::kCommunication;
    everybody_waits = everybody_waits && communicates;
    if (rank.in_stage_seconds <= limits.stage_seconds) continue;
    if (!communicates) {
      still.push_back(static_cast<int>(i));
    } else {
      if (rank.record.progress < least) waiting.clear();
      if (rank.record.progress <= least) waiting.push_back(static_cast<int>(i));
      least = std::min(least, rank.record.progress);
    }
  }
  if (!silent.empty()) return lost(ranks, silent);
  if (still.empty() && everybody_waits) still = waiting;
  if (still.empty()) return std::nullopt;
  const RankSight& first = ranks[static_cast<size_t>(still.front())];
  return Verdict{imgpack::ErrorKind::kIo, still,
                 names(ranks, still) + (still.size() == 1 ? " stands still: " : " stand still: ") +
                     where(first.record) + " for " + seconds_text(first.in_stage_seconds) + " (--rank-timeout " +
                     seconds_text(limits.stage_seconds) + ")"};
}

std::optional<Verdict> blame_rank(const std::vector<RankSight>& ranks, bool patience_over) {
  if (auto verdict = failed(ranks)) return verdict;
  if (!patience_over) return std::nullopt;
  int quietest = -1;
  double seconds = kQuietAfterFailureSeconds;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (has_left(ranks[i].record) || ranks[i].silent_seconds < seconds) continue;
    seconds = ranks[i].silent_seconds;
    quietest = static_cast<int>(i);
  }
  if (quietest < 0) return std::nullopt;
  return lost(ranks, {quietest});
}

}  // namespace imgtrain
