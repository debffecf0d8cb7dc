#include "engine/report/portable/confusion.h"

#include <algorithm>
#include <set>

#include "format/error.h"

namespace imgtrain {
namespace {

bool more_frequent(const Confusion& a, const Confusion& b) {
  if (a.images != b.images) return a.images > b.images;
  return std::pair(a.label, a.predicted) < std::pair(b.label, b.predicted);
}

std::vector<Confusion> first_of(std::vector<Confusion> list, size_t count) {
  std::sort(list.begin(), list.end(), more_frequent);
  if (list.size() > count) list.resize(count);
  return list;
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(const std::vector<Prediction>& predictions, int64_t classes)
    : classes_(classes), counts_(static_cast<size_t>(classes)), predicted_(static_cast<size_t>(classes)) {
  for (const Prediction& prediction : predictions) {
    for (const int32_t label : {prediction.label, prediction.predicted}) {
      if (label >= 0 && label < classes) continue;
      throw imgpack::Error(imgpack::ErrorKind::kInternal, "a prediction of class " + std::to_string(label) + " among " +
                                                              std::to_string(classes) + " classes");
    }
    ++entries_[{prediction.label, prediction.predicted}];
    ++predicted_[static_cast<size_t>(prediction.predicted)];
    ClassCount& count = counts_[static_cast<size_t>(prediction.label)];
    ++count.images;
    count.top1 += prediction.right() ? 1 : 0;
    count.top5 += prediction.in_top5 ? 1 : 0;
  }
}

uint64_t ConfusionMatrix::at(int32_t label, int32_t predicted) const {
  const auto found = entries_.find({label, predicted});
  return found == entries_.end() ? 0 : found->second;
}

std::vector<Confusion> ConfusionMatrix::most_confused(size_t count) const {
  std::vector<Confusion> list;
  for (const auto& [pair, images] : entries_)
    if (pair.first != pair.second) list.push_back({pair.first, pair.second, images});
  return first_of(std::move(list), count);
}

std::vector<Confusion> ConfusionMatrix::taken_for(int32_t label, size_t count) const {
  std::vector<Confusion> list;
  for (auto at = entries_.lower_bound({label, 0}); at != entries_.end() && at->first.first == label; ++at)
    if (at->first.second != label) list.push_back({label, at->first.second, at->second});
  return first_of(std::move(list), count);
}

std::vector<int32_t> ConfusionMatrix::telling_classes(size_t most) const {
  std::vector<int32_t> order;
  if (static_cast<size_t>(classes_) <= most) {
    for (int32_t label = 0; label < classes_; ++label) order.push_back(label);
    return order;
  }
  // Both directions together: a pair that is confused either way belongs together.
  std::map<std::pair<int32_t, int32_t>, uint64_t> pairs;
  for (const auto& [pair, images] : entries_)
    if (pair.first != pair.second) pairs[std::minmax(pair.first, pair.second)] += images;
  std::vector<Confusion> links;
  for (const auto& [pair, images] : pairs) links.push_back({pair.first, pair.second, images});
  std::sort(links.begin(), links.end(), more_frequent);
  std::set<int32_t> chosen;
  for (const Confusion& link : links) {
    std::set<int32_t> with = chosen;
    with.insert({link.label, link.predicted});
    if (with.size() > most) break;
    chosen = std::move(with);
  }
  // From the class of the strongest link on, always the one that is most confused with what stands already.
  while (order.size() < chosen.size()) {
    int32_t next = -1;
    uint64_t strongest = 0;
    for (const Confusion& link : links) {
      const auto placed = [&](int32_t label) { return std::find(order.begin(), order.end(), label) != order.end(); };
      if (!chosen.contains(link.label) || !chosen.contains(link.predicted)) continue;
      if (placed(link.label) == placed(link.predicted)) continue;
      const int32_t fresh = placed(link.label) ? link.predicted : link.label;
      if (link.images <= strongest) continue;
      strongest = link.images;
      next = fresh;
    }
    if (next < 0) {  // Another island of classes: it begins with its strongest link.
      for (const Confusion& link : links) {
        if (chosen.contains(link.label) && std::find(order.begin(), order.end(), link.label) == order.end()) {
          next = link.label;
          break;
        }
      }
    }
    if (next < 0) break;  // Every class of `chosen` is in a link.
    order.push_back(next);
  }
  return order;
}

}  // namespace imgtrain
