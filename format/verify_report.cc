// What a verification found, as text and JSON.
#include <cstdio>
#include <utility>

#include "format/strict_json.h"
#include "format/verify.h"

namespace imgpack {
namespace {

constexpr std::pair<DamageKind, const char*> kDamageNames[] = {
    {DamageKind::kManifest, "manifest"},
    {DamageKind::kDatasetIndex, "dataset_index"},
    {DamageKind::kLabelSet, "label_set"},
    {DamageKind::kShardMissing, "shard_missing"},
    {DamageKind::kShardSize, "shard_size"},
    {DamageKind::kShardHeader, "shard_header"},
    {DamageKind::kShardFooter, "shard_footer"},
    {DamageKind::kShardIndex, "shard_index"},
    {DamageKind::kShardIdentity, "shard_identity"},
    {DamageKind::kRecord, "record"},
    {DamageKind::kRecordIndex, "record_index"},
    {DamageKind::kRecordOrder, "record_order"},
    {DamageKind::kLabel, "label"},
    {DamageKind::kImage, "image"},
    {DamageKind::kUnreadable, "unreadable"},
    {DamageKind::kUnsupported, "unsupported"},
};

constexpr std::pair<VerifyLevel, const char*> kLevelNames[] = {
    {VerifyLevel::kStructure, "structure"},
    {VerifyLevel::kChecksums, "checksums"},
    {VerifyLevel::kDecode, "decode"},
};

std::string json_or_null(const std::string& text) {
  return text.empty() ? "null" : json_quote(text);
}

std::string json_damage(const Damage& damage) {
  return std::string("{\"kind\": \"") + to_string(damage.kind) + "\", \"file\": " + json_quote(damage.file) +
         ", \"offset\": " + (damage.offset ? std::to_string(*damage.offset) : "null") +
         ", \"record\": " + json_or_null(damage.record) + ", \"message\": " + json_quote(damage.message) +
         ", \"expected\": " + json_or_null(damage.expected) + ", \"found\": " + json_or_null(damage.found) + "}";
}

}  // namespace

const char* to_string(VerifyLevel level) {
  for (const auto& [value, name] : kLevelNames)
    if (value == level) return name;
  return "?";
}

std::optional<VerifyLevel> parse_verify_level(std::string_view text) {
  for (const auto& [value, name] : kLevelNames)
    if (text == name) return value;
  return std::nullopt;
}

const char* to_string(DamageKind kind) {
  for (const auto& [value, name] : kDamageNames)
    if (value == kind) return name;
  return "?";
}

uint64_t VerifyReport::damage_count() const {
  uint64_t count = 0;
  for (const auto& [kind, number] : counts) count += number;
  return count;
}

bool VerifyReport::only_unsupported() const {
  return counts.size() == 1 && counts.begin()->first == DamageKind::kUnsupported;
}

Damage to_damage(DamageKind kind, std::string file, const Error& error) {
  Damage damage;
  damage.kind = error.kind() == ErrorKind::kUnsupportedVersion ? DamageKind::kUnsupported
                : error.kind() == ErrorKind::kIo               ? DamageKind::kUnreadable
                                                               : kind;
  damage.file = std::move(file);
  damage.offset = error.offset();
  static constexpr std::string_view kExpected = ": expected ", kFound = ", found ";
  const std::string& text = error.message();
  const size_t expected = text.rfind(kExpected);
  const size_t found = expected == std::string::npos ? std::string::npos : text.find(kFound, expected);
  if (found == std::string::npos) {
    damage.message = text;
    return damage;
  }
  damage.message = text.substr(0, expected);
  damage.expected = text.substr(expected + kExpected.size(), found - expected - kExpected.size());
  damage.found = text.substr(found + kFound.size());
  return damage;
}

std::string to_text(const Damage& damage) {
  std::string text = damage.file;
  if (damage.offset) text += "@" + std::to_string(*damage.offset);
  text += ": " + damage.message;
  if (!damage.expected.empty() || !damage.found.empty())
    text += ": expected " + damage.expected + ", found " + damage.found;
  if (!damage.record.empty() && damage.message.find(damage.record) == std::string::npos)
    text += " (" + damage.record + ")";
  return text;
}

std::string to_json(const VerifyReport& report) {
  const bool repairable = !report.ok() && !report.only_unsupported();
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.3f", report.seconds);
  std::string out = "{\n";
  const auto key = [&](const char* name, const std::string& value, bool last = false) {
    out += std::string("  \"") + name + "\": " + value + (last ? "\n" : ",\n");
  };
  key("format", "\"imgpack.verify_report\"");
  key("format_version", "{\"major\": 1, \"minor\": 0}");
  key("dataset", json_quote(report.dataset.string()));
  key("dataset_id", json_or_null(report.dataset_id));
  key("level", std::string("\"") + to_string(report.level) + "\"");
  key("part", std::to_string(report.part));
  key("parts", std::to_string(report.parts));
  key("result", report.ok() ? "\"ok\"" : report.only_unsupported() ? "\"unsupported\"" : "\"damaged\"");
  key("shards", std::to_string(report.shards));
  key("records", std::to_string(report.records));
  key("images", std::to_string(report.images));
  key("bytes", std::to_string(report.bytes));
  key("seconds", seconds);
  key("damage_count", std::to_string(report.damage_count()));
  std::string counts = "{";
  for (const auto& [kind, number] : report.counts)
    counts += std::string(counts.size() > 1 ? ", " : "") + "\"" + to_string(kind) + "\": " + std::to_string(number);
  key("counts", counts + "}");
  std::string damages = "[";
  for (const Damage& damage : report.damages)
    damages += std::string(damages.size() > 1 ? "," : "") + "\n    " + json_damage(damage);
  key("damages", damages + (report.damages.empty() ? "]" : "\n  ]"));
  std::string notes = "[";
  for (const std::string& note : report.notes)
    notes += std::string(notes.size() > 1 ? "," : "") + "\n    " + json_quote(note);
  key("notes", notes + (report.notes.empty() ? "]" : "\n  ]"));
  key("repair", repairable ? json_quote("imgpack repair " + report.dataset.string()) : "null", true);
  return out + "}\n";
}

}  // namespace imgpack
