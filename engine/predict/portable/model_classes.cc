#include "engine/predict/portable/model_classes.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "format/error.h"
#include "format/ingest/ilsvrc2012.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMaxClassFileBytes = uint64_t{16} << 20;

// Folder names of ILSVRC2012's classes are WNIDs; a folder of other data is called what it holds.
ModelClass class_of_folder(std::string folder) {
  if (const auto label = imgpack::ingest::ilsvrc_label(folder)) {
    const std::string_view names = imgpack::ingest::ilsvrc_classes()[static_cast<size_t>(*label)].names;
    return {std::move(folder), std::string(names)};
  }
  std::string names = folder;
  return {std::move(folder), std::move(names)};
}

std::vector<ModelClass> unstated_classes(int64_t count) {
  std::vector<ModelClass> classes;
  classes.reserve(static_cast<size_t>(count));
  if (count == static_cast<int64_t>(imgpack::ingest::kIlsvrcClasses)) {
    for (const auto& one : imgpack::ingest::ilsvrc_classes())
      classes.push_back({std::string(one.wnid), std::string(one.names)});
    return classes;
  }
  for (int64_t i = 0; i < count; ++i) classes.push_back({{}, "class " + std::to_string(i)});
  return classes;
}

// A JSON list of `count` texts.
std::vector<std::string> parse_list(std::string_view text, int64_t count, const std::filesystem::path& path) {
  boost::system::error_code failure;
  const boost::json::value list = boost::json::parse({text.data(), text.size()}, failure);
  if (failure || !list.is_array()) throw Error(ErrorKind::kCorruption, "its list of classes cannot be read", path);
  if (list.get_array().size() != static_cast<size_t>(count)) {
    throw Error(ErrorKind::kCorruption,
                "its list of classes has another length: expected " + std::to_string(count) + ", found " +
                    std::to_string(list.get_array().size()),
                path);
  }
  std::vector<std::string> items;
  for (const boost::json::value& one : list.get_array()) {
    if (!one.is_string())
      throw Error(ErrorKind::kCorruption, "its list of classes holds something else than names", path);
    items.emplace_back(one.get_string());
  }
  return items;
}

}  // namespace

std::vector<ModelClass> model_classes(std::string_view stated, int64_t count, const std::filesystem::path& path,
                                      std::string_view stated_names) {
  if (stated.empty()) return unstated_classes(count);
  std::vector<ModelClass> classes;
  for (std::string& folder : parse_list(stated, count, path)) {
    if (folder.empty()) throw Error(ErrorKind::kCorruption, "its list of classes has one without a name", path);
    classes.push_back(class_of_folder(std::move(folder)));
  }
  if (stated_names.empty()) return classes;
  std::vector<std::string> names = parse_list(stated_names, count, path);
  for (size_t i = 0; i < names.size(); ++i)
    if (!names[i].empty()) classes[i].names = std::move(names[i]);
  return classes;
}

std::vector<ModelClass> read_class_file(imgpack::FileSystem& fs, const std::filesystem::path& path, int64_t count) {
  const std::string text = imgpack::read_text(fs, path, kMaxClassFileBytes);
  std::vector<ModelClass> classes;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) {
      classes.push_back(class_of_folder(std::string(line)));
    } else {
      classes.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
    }
  }
  if (classes.size() != static_cast<size_t>(count)) {
    throw Error(ErrorKind::kInvalidInput,
                "expected a line for each of the model's " + std::to_string(count) + " classes, found " +
                    std::to_string(classes.size()),
                path, {}, "one class a line, as `n01440764 tench, Tinca tinca`, in the order of the model's outputs");
  }
  return classes;
}

}  // namespace imgtrain
