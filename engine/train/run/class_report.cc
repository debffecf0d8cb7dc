#include "engine/train/run/class_report.h"

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

// A name in CSV: in quotes where it holds a comma or a quote, as "tench, Tinca tinca" does.
std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string share(uint64_t part, uint64_t whole) {
  if (whole == 0) return {};
  return number_text(100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

std::string class_csv(const std::vector<imgpack::ClassInfo>& classes, const std::vector<ClassCount>& counts) {
  std::string out = "class,name,images,top1,top5,accuracy,accuracy_top5\n";
  for (size_t i = 0; i < counts.size(); ++i) {
    const ClassCount& count = counts[i];
    out += csv_text(classes[i].wnid) + "," + csv_text(classes[i].names) + "," + std::to_string(count.images) + "," +
           std::to_string(count.top1) + "," + std::to_string(count.top5) + "," + share(count.top1, count.images) + "," +
           share(count.top5, count.images) + "\n";
  }
  return out;
}

}  // namespace imgtrain
