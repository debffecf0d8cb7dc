#include "engine/predict/portable/submission.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "format/error.h"
#include "format/ingest/ilsvrc2012.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMaxSampleBytes = uint64_t{64} << 20;
constexpr std::string_view kHeader = "ImageId,PredictionString";

std::string class_text(const std::string& wnid, SubmissionClass classes) {
  if (classes == SubmissionClass::kWnid) return wnid;
  if (const auto label = imgpack::ingest::ilsvrc_label(wnid)) return std::to_string(*label + 1);
  throw Error(ErrorKind::kInvalidInput,
              "a submission numbers the 1,000 classes of ILSVRC2012, and '" + wnid + "' is none of them");
}

std::string row_text(const SubmissionRow& row, SubmissionClass classes) {
  std::string text = row.image + ",";
  const std::string box = " 0 0 " + std::to_string(row.width) + " " + std::to_string(row.height);
  for (size_t i = 0; i < std::min(row.wnids.size(), kSubmissionGuesses); ++i)
    text += (i ? " " : "") + class_text(row.wnids[i], classes) + box;
  return text + "\n";
}

}  // namespace

std::string submission_csv(std::vector<SubmissionRow> rows, SubmissionClass classes,
                           const std::vector<std::string>& order) {
  if (order.empty()) {
    std::sort(rows.begin(), rows.end(),
              [](const SubmissionRow& a, const SubmissionRow& b) { return a.image < b.image; });
  } else {
    std::unordered_map<std::string, size_t> place;
    for (size_t i = 0; i < order.size(); ++i) place.emplace(order[i], i);
    std::vector<SubmissionRow> sorted(order.size());
    for (SubmissionRow& row : rows) {
      const auto at = place.find(row.image);
      if (at == place.end()) {
        throw Error(ErrorKind::kInvalidInput, "the sample submission has no row for image '" + row.image + "'", {}, {},
                    "give the sample file of the same split");
      }
      sorted[at->second] = std::move(row);
    }
    for (size_t i = 0; i < order.size(); ++i)
      if (sorted[i].image.empty())
        throw Error(ErrorKind::kInvalidInput,
                    "the sample submission asks for image '" + order[i] + "', which was not predicted", {}, {},
                    "give the sample file of the same split");
    rows = std::move(sorted);
  }
  std::string text = std::string(kHeader) + "\n";
  for (const SubmissionRow& row : rows) text += row_text(row, classes);
  return text;
}

void require_submission_classes(const std::vector<std::string>& wnids, SubmissionClass classes) {
  for (size_t i = 0; i < wnids.size(); ++i) {
    if (wnids[i].empty())
      throw Error(ErrorKind::kInvalidInput, "a submission names classes by their WNIDs, and that of class " +
                                                std::to_string(i) + " of the model is not known");
    class_text(wnids[i], classes);
  }
}

std::vector<std::string> read_sample_submission(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  const std::string text = imgpack::read_text(fs, path, kMaxSampleBytes);
  std::vector<std::string> ids;
  bool header = true;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (std::exchange(header, false)) {
      if (line != kHeader)
        throw Error(
            ErrorKind::kInvalidInput,
            "expected the header '" + std::string(kHeader) + "', found '" + std::string(line.substr(0, 80)) + "'",
            path);
      continue;
    }
    if (!line.empty()) ids.emplace_back(line.substr(0, line.find(',')));
  }
  if (ids.empty()) throw Error(ErrorKind::kInvalidInput, "expected a row for every image, found none", path);
  return ids;
}

}  // namespace imgtrain
