#include "format/ingest/devkit.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/image_name.h"
#include "format/ingest/plain_text.h"

namespace imgpack::ingest {
namespace {

// An id map leads from a few lines to labels: a file where this share of the lines differs is another set's.
constexpr uint64_t kMostContradictions = kIlsvrcValImages / 10;

std::optional<uint32_t> id_in(std::string_view text) {
  const auto number = whole_number(text, std::numeric_limits<uint32_t>::max());
  return number ? std::optional(static_cast<uint32_t>(*number)) : std::nullopt;
}

bool is_wnid(std::string_view text) {
  return text.size() == 9 && text.front() == 'n' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

[[noreturn]] void fail_line(uint64_t number, const std::string& what, const std::filesystem::path& path) {
  throw Error(ErrorKind::kInvalidInput, "line " + std::to_string(number) + ": " + what, path);
}

}  // namespace

std::vector<uint32_t> parse_ground_truth(std::string_view text, const std::filesystem::path& path) {
  std::vector<uint32_t> ids;
  for_each_line(text, path, [&](std::string_view line, uint64_t number) {
    const auto id = id_in(line);
    if (!id || *id == 0 || *id > kMaxDevkitId)
      fail_line(number,
                "expected an id from 1 to " + std::to_string(kMaxDevkitId) + ", found '" + printable(line) + "'", path);
    ids.push_back(*id);
  });
  if (ids.empty()) throw Error(ErrorKind::kInvalidInput, "file is empty: expected one id per line", path);
  return ids;
}

IdMap parse_id_map(std::string_view text, const std::filesystem::path& path) {
  IdMap map;
  std::unordered_map<std::string, uint32_t> back;
  for_each_line(text, path, [&](std::string_view line, uint64_t number) {
    std::optional<uint32_t> id;
    std::string_view wnid;
    while (!(line = trimmed(line)).empty()) {
      const size_t end = std::min(line.find_first_of(" \t,;"), line.size());
      const std::string_view word = line.substr(0, end);
      if (!id) id = id_in(word);
      if (wnid.empty() && is_wnid(word)) wnid = word;
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    if (!id && wnid.empty() && number == 1) return;  // A header.
    if (!id || wnid.empty()) fail_line(number, "expected an id and a WNID such as n01440764", path);
    const auto [at, is_new] = map.emplace(*id, wnid);
    const auto [back_at, is_new_back] = back.emplace(wnid, *id);
    if (at->second != wnid || back_at->second != *id)
      fail_line(number,
                "the map is not one-to-one: id " + std::to_string(*id) + " or " + std::string(wnid) +
                    " has another partner above",
                path);
  });
  if (map.empty()) throw Error(ErrorKind::kInvalidInput, "file is empty: expected lines of ID and WNID", path);
  return map;
}

IdMap derive_id_map(const std::vector<uint32_t>& ids, const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) {
    throw Error(
        ErrorKind::kInvalidInput, what, path, {},
        "put a text file with ID and WNID of every class beside it (ILSVRC2012_id_to_wnid.txt), or move it away");
  };
  if (ids.size() != kIlsvrcValImages)
    fail("ids cannot be told from classes: expected the 50,000 lines of ILSVRC2012, found " +
         std::to_string(ids.size()));
  std::map<uint32_t, std::map<int32_t, uint64_t>> votes;
  for (uint32_t i = 0; i < ids.size(); ++i) ++votes[ids[i]][ilsvrc_val_label(i + 1)];
  IdMap map;
  std::map<int32_t, uint32_t> back;
  uint64_t contradictions = 0;
  for (const auto& [id, labels] : votes) {
    const auto most = std::max_element(labels.begin(), labels.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const auto& [label, count] : labels) contradictions += label == most->first ? 0 : count;
    if (const auto [at, is_new] = back.emplace(most->first, id); !is_new) {
      fail("ids are not those of ILSVRC2012: " + std::to_string(at->second) + " and " + std::to_string(id) +
           " both stand where the built-in labels say " +
           std::string(ilsvrc_classes()[static_cast<size_t>(most->first)].wnid));
    }
    map.emplace(id, ilsvrc_classes()[static_cast<size_t>(most->first)].wnid);
  }
  if (map.size() != kIlsvrcClasses)
    fail("ids are not those of ILSVRC2012: expected 1000 different ones, found " + std::to_string(map.size()));
  if (contradictions > kMostContradictions)
    fail("ids are not those of ILSVRC2012: " + std::to_string(contradictions) +
         " of 50000 lines contradict the built-in labels");
  return map;
}

LabelTable ground_truth_table(const std::vector<uint32_t>& ids, const IdMap& map, const std::filesystem::path& path,
                              const std::string& map_origin) {
  LabelTable table{path.filename().string() + " (ids by " + map_origin + ")", path, {}};
  table.class_of.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto at = map.find(ids[i]);
    if (at == map.end()) fail_line(i + 1, "id " + std::to_string(ids[i]) + " is not in " + map_origin, path);
    const std::string digits = std::to_string(i + 1);
    table.class_of.emplace("ILSVRC2012_val_" + std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits,
                           at->second);
  }
  return table;
}

}  // namespace imgpack::ingest
