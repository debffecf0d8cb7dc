#include "tools/cli/units.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace imgpack::cli {
namespace {

struct Unit {
  std::string_view suffix;
  double bytes;
};

constexpr double kKi = 1024.0;
constexpr std::array<Unit, 14> kUnits = {{
    {"", 1},
    {"b", 1},
    {"k", kKi},
    {"kib", kKi},
    {"kb", 1e3},
    {"m", kKi* kKi},
    {"mib", kKi* kKi},
    {"mb", 1e6},
    {"g", kKi* kKi* kKi},
    {"gib", kKi* kKi* kKi},
    {"gb", 1e9},
    {"t", kKi* kKi* kKi* kKi},
    {"tib", kKi* kKi* kKi* kKi},
    {"tb", 1e12},
}};

}  // namespace

std::optional<uint64_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (failure != std::errc() || !(number >= 0)) return std::nullopt;
  std::string suffix;
  for (char letter : text.substr(static_cast<size_t>(end - text.data()))) {
    if (letter == ' ' && suffix.empty()) continue;
    suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  for (const Unit& unit : kUnits) {
    if (suffix != unit.suffix) continue;
    const double bytes = number * unit.bytes;
    if (!(bytes < 9.2e18) || bytes != std::floor(bytes)) return std::nullopt;
    return static_cast<uint64_t>(bytes);
  }
  return std::nullopt;
}

std::string format_seconds(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  char text[48];
  if (seconds < 59.95) {
    std::snprintf(text, sizeof text, "%.1f s", seconds);
    return text;
  }
  const auto whole = static_cast<unsigned long long>(seconds + 0.5);
  const unsigned long long days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  if (days > 0) {
    std::snprintf(text, sizeof text, "%llud %02llu:%02llu", days, hours, minutes);
  } else if (hours > 0) {
    std::snprintf(text, sizeof text, "%llu:%02llu:%02llu", hours, minutes, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%llu:%02llu", minutes, whole % 60);
  }
  return text;
}

std::string format_real(double value) {
  char text[64];
  const auto [end, failure] = std::to_chars(text, text + sizeof text, value);
  return failure == std::errc() ? std::string(text, end) : "?";
}

}  // namespace imgpack::cli
