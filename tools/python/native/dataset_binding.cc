#include "tools/python/native/dataset_binding.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <tuple>
#include <vector>

#include "engine/data/augment.h"
#include "format/error.h"
#include "format/jpeg/image_decoder.h"
#include "format/label_set.h"
#include "format/nearest_name.h"
#include "format/record.h"
#include "format/shard_reader.h"
#include "tools/python/native/interpolation.h"

namespace imgpack::python {
namespace {

namespace nb = nanobind;

constexpr size_t kOpenFiles = 64;
constexpr const char* kReduce = "def __reduce__(self) -> tuple[typing.Any, ...]";

// One split. Keeps its dataset alive.
struct Split {
  std::shared_ptr<OpenDataset> owner;
  const SplitView* view = nullptr;
};

// A record, copied out of its shard.
struct StoredImage {
  RecordMeta meta;
  std::vector<std::byte> image, entropy_index;
  std::filesystem::path path;  // For messages.
  uint64_t offset = 0;
};

Split split_of(const std::shared_ptr<OpenDataset>& owner, const std::string& name) {
  return {owner, &owner->dataset().split(name)};
}

uint64_t position(const Split& split, int64_t index) {
  const auto records = static_cast<int64_t>(split.view->records());
  const int64_t wanted = index < 0 ? index + records : index;
  if (wanted < 0 || wanted >= records)
    throw nb::index_error(("record " + std::to_string(index) + " of split '" + split.view->info.name + "', which has " +
                           std::to_string(records))
                              .c_str());
  return static_cast<uint64_t>(wanted);
}

StoredImage read_record(const Split& split, int64_t index) {
  const SplitView& view = *split.view;
  const uint64_t record = position(split, index);
  const std::shared_ptr<RandomAccessFile> file = split.owner->shard(view.info.name, view.shard[record]);
  const nb::gil_scoped_release others_run;
  const uint64_t offset = view.offset[record], bytes = view.columns.record_bytes[record];
  if (offset > file->size() || bytes > file->size() - offset)
    throw Error(ErrorKind::kCorruption, "record " + std::to_string(record) + " reaches beyond the end of the shard",
                file->path(), offset, "imgpack verify " + split.owner->dataset().folder().string());
  std::vector<std::byte> buffer(bytes);
  read_exactly(*file, offset, buffer);
  const RecordView parsed = parse_record(buffer, file->path(), offset);
  check_against_index(parsed, view.columns, record, file->path(), offset);
  const auto image = parsed.image(), entropy = parsed.entropy_index();
  return {parsed.meta, {image.begin(), image.end()}, {entropy.begin(), entropy.end()}, file->path(), offset};
}

using Pixels = nb::ndarray<nb::numpy, uint8_t, nb::shape<-1, -1, 3>, nb::c_contig>;

// `box`: x, y, width, height of the part that becomes the output; `size`: width, height of the output.
Pixels decode(const StoredImage& stored, const std::optional<std::tuple<int, int>>& size,
              const std::optional<std::tuple<int, int, int, int>>& box, bool flip, const std::string& interpolation,
              const std::string& decoder) {
  constexpr int kMaxSide = 65535;
  const jpeg::Filter filter = parse_filter(interpolation);
  if (decoder != "fast" && decoder != "reference")
    throw Error(ErrorKind::kUsage, "decoder: expected fast or reference, found '" + decoder + "'");
  const auto [x, y, width, height] =
      box.value_or(std::tuple(0, 0, static_cast<int>(stored.meta.width), static_cast<int>(stored.meta.height)));
  const auto [out_width, out_height] = size.value_or(std::tuple(width, height));
  if (out_width < 1 || out_height < 1 || out_width > kMaxSide || out_height > kMaxSide)
    throw Error(ErrorKind::kUsage, "size: expected 1 to 65535 each way, found " + std::to_string(out_width) + " x " +
                                       std::to_string(out_height));
  std::unique_ptr<uint8_t[]> pixels;
  {
    const nb::gil_scoped_release others_run;
    pixels = std::make_unique<uint8_t[]>(size_t{3} * static_cast<size_t>(out_width) * static_cast<size_t>(out_height));
    const jpeg::SampleWindow window{.use_x = x,
                                    .use_y = y,
                                    .use_width = width,
                                    .use_height = height,
                                    .x0 = static_cast<double>(x),
                                    .y0 = static_cast<double>(y),
                                    .x1 = static_cast<double>(x) + width,
                                    .y1 = static_cast<double>(y) + height,
                                    .flip = flip};
    const auto kind = decoder == "fast" ? jpeg::DecoderKind::kFast : jpeg::DecoderKind::kReference;
    try {
      jpeg::make_decoder({kind})->decode(stored.image, stored.entropy_index, window, out_width, out_height, filter,
                                         pixels.get());
    } catch (const Error& error) {  // A decoder knows neither file nor sample.
      throw Error(error.kind(), error.message() + " (sample " + stored.meta.name + ")", stored.path, stored.offset,
                  error.hint());
    }
  }
  uint8_t* const data = pixels.release();
  const nb::capsule owner(data, [](void* memory) noexcept { delete[] static_cast<uint8_t*>(memory); });
  return Pixels(data, {static_cast<size_t>(out_height), static_cast<size_t>(out_width), 3}, owner);
}

// A column of the split as an array that looks into it and may not be written.
template <typename T>
using Column = nb::ndarray<nb::numpy, const T, nb::ndim<1>, nb::c_contig>;
template <typename T>
Column<T> column(nb::handle_t<Split> self, const std::vector<T>& values) {
  return Column<T>(values.data(), {values.size()}, self);
}

std::vector<std::string> names_of(const Split& split) {
  std::vector<std::string> names;
  {
    const nb::gil_scoped_release others_run;
    const Dataset named = Dataset::open(posix_file_system(), split.owner->dataset().folder(), ReadNames::kYes);
    names = named.split(split.view->info.name).columns.names;
  }
  return names;
}

std::vector<std::vector<int32_t>> label_set(const OpenDataset& self, const std::string& name) {
  std::vector<std::string> known;
  for (const LabelSetInfo& info : self.dataset().manifest().label_sets) {
    if (info.name == name) return read_label_set(posix_file_system(), self.dataset().folder(), info).labels;
    known.push_back(info.name);
  }
  throw Error(ErrorKind::kInvalidInput, "no label set '" + name + "'" + did_you_mean(name, known),
              self.dataset().folder());
}

}  // namespace

OpenDataset::OpenDataset(const std::filesystem::path& folder) : dataset_(Dataset::open(posix_file_system(), folder)) {}

std::shared_ptr<RandomAccessFile> OpenDataset::shard(const std::string& split, uint32_t number) {
  const std::filesystem::path path = dataset_.shard_path(split, number);
  for (auto file = files_.begin(); file != files_.end(); ++file) {
    if (file->first != path) continue;
    files_.splice(files_.begin(), files_, file);
    return files_.front().second;
  }
  files_.emplace_front(path, posix_file_system().open(path));
  if (files_.size() > kOpenFiles) files_.pop_back();
  return files_.front().second;
}

void bind_dataset(nb::module_& module) {
  nb::class_<ClassInfo>(module, "ClassInfo", "A class; its position in `Dataset.classes` is its label.")
      .def_ro("wnid", &ClassInfo::wnid, "Folder name of the class: `n01440764`.")
      .def_ro("names", &ClassInfo::names, "Names for people; empty where none are known.")
      .def("__repr__", [](const ClassInfo& self) {
        return "ClassInfo('" + self.wnid + (self.names.empty() ? "" : "', '" + self.names) + "')";
      });

  nb::class_<StoredImage>(module, "Record", "One record: `data, label, name = record` takes it apart.")
      .def_prop_ro(
          "data", [](const StoredImage& self) { return nb::bytes(self.image.data(), self.image.size()); },
          "The image file's bytes: a JPEG stream.")
      .def_prop_ro(
          "label", [](const StoredImage& self) { return self.meta.label; },
          "Position in the dataset's classes; -1: none.")
      .def_prop_ro(
          "name", [](const StoredImage& self) { return self.meta.name; },
          "As in the source: `n01440764/n01440764_10026.JPEG`.")
      .def_prop_ro(
          "id", [](const StoredImage& self) { return self.meta.id; },
          "A hash of split and name: the same in every pack of the same images.")
      .def_prop_ro(
          "width", [](const StoredImage& self) { return self.meta.width; }, "Pixels, as stored.")
      .def_prop_ro(
          "height", [](const StoredImage& self) { return self.meta.height; }, "Pixels, as stored.")
      .def(
          "__iter__",
          [](const StoredImage& self) {
            return nb::iter(
                nb::make_tuple(nb::bytes(self.image.data(), self.image.size()), self.meta.label, self.meta.name));
          },
          nb::sig("def __iter__(self) -> collections.abc.Iterator[typing.Any]"))
      .def("__len__", [](const StoredImage&) { return 3; })
      .def("decode", decode, nb::kw_only(), nb::arg("size") = nb::none(), nb::arg("box") = nb::none(),
           nb::arg("flip") = false, nb::arg("interpolation") = "bilinear", nb::arg("decoder") = "fast",
           "RGB pixels, height x width x 3. `box`: x, y, width and height of the part that is wanted; `size`: width "
           "and\n"
           "height that it is resized to, antialiased. EXIF orientation is left alone, as torchvision does.");

  nb::class_<Split>(
      module, "Split",
      "Records of one split in the order of the shards. A map-style dataset: `split[i]` reads one record,\n"
      "from any thread or process.")
      .def("__len__", [](const Split& self) { return self.view->records(); })
      .def("__getitem__", read_record, nb::arg("index"),
           "Reads and checks one record. IndexError beyond the end; CorruptionError for a damaged one.")
      .def_prop_ro("name", [](const Split& self) { return self.view->info.name; })
      .def_prop_ro(
          "labeled", [](const Split& self) { return self.view->info.labeled; }, "Whether its records have labels.")
      .def_prop_ro(
          "shards", [](const Split& self) { return self.view->info.shards.size(); }, "Number of shard files.")
      .def_prop_ro(
          "labels", [](nb::handle_t<Split> self) { return column(self, nb::cast<Split&>(self).view->columns.label); },
          "int32 labels of all records, without reading them.")
      .def_prop_ro(
          "ids", [](nb::handle_t<Split> self) { return column(self, nb::cast<Split&>(self).view->columns.id); },
          "uint64 ids of all records.")
      .def_prop_ro(
          "widths", [](nb::handle_t<Split> self) { return column(self, nb::cast<Split&>(self).view->columns.width); },
          "uint32 widths of all images.")
      .def_prop_ro(
          "heights", [](nb::handle_t<Split> self) { return column(self, nb::cast<Split&>(self).view->columns.height); },
          "uint32 heights of all images.")
      .def("names", names_of, "Names of all records; reads them from the dataset's index.")
      .def("__repr__",
           [](const Split& self) {
             return "Split('" + self.view->info.name + "', " + std::to_string(self.view->records()) + " records)";
           })
      .def(
          "__reduce__",
          [](const Split& self) {
            return nb::make_tuple(nb::module_::import_("imgpack").attr("open_split"),
                                  nb::make_tuple(self.owner->dataset().folder(), self.view->info.name));
          },
          nb::sig(kReduce));

  nb::class_<OpenDataset>(module, "Dataset", "A folder of shards, opened with two small reads: manifest and index.")
      .def(nb::init<const std::filesystem::path&>(), nb::arg("path"))
      .def("__getitem__", split_of, nb::arg("split"))
      .def(
          "__contains__",
          [](const OpenDataset& self, const std::string& split) { return self.dataset().has_split(split); },
          nb::arg("split"))
      .def_prop_ro("path", [](const OpenDataset& self) { return self.dataset().folder(); })
      .def_prop_ro(
          "id", [](const OpenDataset& self) { return self.dataset().manifest().dataset_id; },
          "Digest of the content: names, labels, image bytes, classes, order.")
      .def_prop_ro(
          "splits",
          [](const OpenDataset& self) {
            std::vector<std::string> names;
            for (const SplitInfo& split : self.dataset().manifest().splits) names.push_back(split.name);
            return names;
          },
          "Names of the splits.")
      .def_prop_ro(
          "classes", [](const OpenDataset& self) { return self.dataset().manifest().classes; }, "Position = label.")
      .def_prop_ro(
          "label_sets",
          [](const OpenDataset& self) {
            std::vector<std::string> names;
            for (const LabelSetInfo& info : self.dataset().manifest().label_sets) names.push_back(info.name);
            return names;
          },
          "Names of the label sets beside the records' own labels: `real`.")
      .def("label_set", label_set, nb::arg("name"),
           "The labels, none or several, that a label set gives each record of its split.")
      .def("__repr__",
           [](const OpenDataset& self) {
             std::string text = "Dataset('" + self.dataset().folder().string() + "'";
             for (const SplitInfo& split : self.dataset().manifest().splits)
               text += ", " + split.name + ": " + std::to_string(split.records);
             return text + ")";
           })
      .def(
          "__reduce__",
          [](const OpenDataset& self) {
            return nb::make_tuple(nb::module_::import_("imgpack").attr("open"),
                                  nb::make_tuple(self.dataset().folder()));
          },
          nb::sig(kReduce));
}

}  // namespace imgpack::python
