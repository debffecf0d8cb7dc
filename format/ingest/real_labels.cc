#include "format/ingest/real_labels.h"

#include <algorithm>
#include <boost/json/value.hpp>
#include <map>

#include "format/error.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/strict_json.h"

namespace imgpack::ingest {
namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& path, const std::string& hint = {}) {
  throw Error(ErrorKind::kInvalidInput, what, path, {}, hint);
}

std::vector<int32_t> parse_row(const boost::json::value& row, const std::string& where,
                               const std::filesystem::path& path) {
  if (!row.is_array()) fail(where + ": expected an array of class indices, found " + json_type_name(row), path);
  std::vector<int32_t> labels;
  for (const auto& value : row.get_array()) {
    if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() >= static_cast<int64_t>(kIlsvrcClasses))
      fail(where + ": expected class indices from 0 to 999", path);
    labels.push_back(static_cast<int32_t>(value.get_int64()));
  }
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return labels;
}

}  // namespace

RealRows parse_real_labels(std::string_view text, const std::filesystem::path& path) {
  boost::json::value document;
  try {
    document = parse_json(text, path);
  } catch (const Error& error) {
    fail(error.message(), path);  // A user's file is not damage of ours.
  }
  if (!document.is_array())
    fail("expected an array of 50,000 arrays, found " + std::string(json_type_name(document)), path);
  const auto& array = document.get_array();
  if (array.size() != kIlsvrcValImages)
    fail("expected one row for each of the 50,000 validation images, found " + std::to_string(array.size()), path);
  RealRows rows;
  rows.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) rows.push_back(parse_row(array[i], "[" + std::to_string(i) + "]", path));
  return rows;
}

LabelSet make_real_set(const Dataset& dataset, const std::string& split_name, const RealRows& rows,
                       const std::string& name) {
  const SplitView& split = dataset.split(split_name);
  const auto& classes = dataset.manifest().classes;
  std::map<std::string_view, int32_t> label_of;
  for (size_t i = 0; i < classes.size(); ++i) label_of.emplace(classes[i].wnid, static_cast<int32_t>(i));
  LabelSet set{name, split_name, static_cast<uint32_t>(classes.size()), ids_checksum(split.columns.id), {}};
  uint64_t judged = 0, contradicted = 0;
  for (uint64_t i = 0; i < split.records(); ++i) {
    const auto number = ilsvrc_val_number(split.columns.names[i]);
    if (!number)
      fail("ReaL labels are for ILSVRC2012_val_00000001 to 00050000: found " + split.columns.names[i] + " in split " +
               split_name,
           dataset.folder());
    std::vector<int32_t> labels;
    for (const int32_t index : rows[*number - 1]) {
      const auto at = label_of.find(ilsvrc_classes()[static_cast<size_t>(index)].wnid);
      if (at != label_of.end()) labels.push_back(at->second);
    }
    std::sort(labels.begin(), labels.end());
    if (!rows[*number - 1].empty() && split.info.labeled) {
      ++judged;
      contradicted += std::binary_search(labels.begin(), labels.end(), split.columns.label[i]) ? 0 : 1;
    }
    set.labels.push_back(std::move(labels));
  }
  // Of the true set, one in ten of the first labels is not among ReaL's.
  if (contradicted * 2 > judged)
    fail("ReaL labels are for other images: they contradict the dataset's own labels on " +
             std::to_string(contradicted) + " of " + std::to_string(judged) + " images of " + split_name,
         dataset.folder(), "only the ILSVRC2012 validation set has ReaL labels");
  return set;
}

}  // namespace imgpack::ingest
