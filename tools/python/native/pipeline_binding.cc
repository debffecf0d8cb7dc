#include "tools/python/native/pipeline_binding.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <utility>

#include "format/error.h"
#include "tools/python/native/interpolation.h"
#include "tools/python/native/pipeline.h"

namespace imgpack::python {
namespace {

namespace nb = nanobind;
using namespace imgtrain::data;

using Range = std::pair<double, double>;

void set_transform(PipelineOptions& options, const std::string& name) {
  if (name != "train" && name != "eval")
    throw Error(ErrorKind::kUsage, "transform: expected train or eval, found '" + name + "'");
  options.transform = name == "train" ? Transform::kTrain : Transform::kEvaluate;
}

void set_interpolation(PipelineOptions& options, const std::string& name) {
  options.random_filter = name == "random";
  if (options.random_filter && options.transform == Transform::kEvaluate)
    throw Error(ErrorKind::kUsage, "interpolation: random is of the training transform alone");
  options.filter = options.random_filter ? jpeg::Filter::kBilinear : parse_filter(name);
}

void set_policy(PipelineOptions& options, const std::string& text) {
  try {
    options.policy = parse_augment_policy(text);
  } catch (const Error& error) {
    throw Error(error.kind(), "auto_augment: " + error.message());
  }
}

void set_cache(PipelineOptions& options, const std::string& name) {
  const std::optional<CacheMode> mode = parse_cache_mode(name);
  if (!mode.has_value())
    throw Error(ErrorKind::kUsage, "page_cache: expected auto, keep, drop or direct, found '" + name + "'");
  options.cache = *mode;
}

void bind_options(nb::module_& module) {
  using O = PipelineOptions;
  nb::class_<O>(module, "PipelineOptions")
      .def(nb::init<>())
      .def_rw("split", &O::split)
      .def("set_transform", set_transform, nb::arg("name"))
      .def("set_interpolation", set_interpolation, nb::arg("name"))
      .def("set_auto_augment", set_policy, nb::arg("policy"))
      .def("set_page_cache", set_cache, nb::arg("mode"))
      .def_rw("size", &O::size)
      .def_rw("resize_short", &O::resize_short)
      .def_rw("crop_ratio", &O::crop_ratio)
      .def(
          "set_crop",
          [](O& self, const Range& scale, const Range& ratio, double flip) {
            self.crop = {scale.first, scale.second, ratio.first, ratio.second, flip};
          },
          nb::arg("scale"), nb::arg("ratio"), nb::arg("flip"))
      .def(
          "set_jitter",
          [](O& self, double brightness, double contrast, double saturation, double hue) {
            self.jitter = {brightness, contrast, saturation, hue};
          },
          nb::arg("brightness"), nb::arg("contrast"), nb::arg("saturation"), nb::arg("hue"))
      .def(
          "set_erasing",
          [](O& self, double probability, const Range& scale, const Range& ratio) {
            self.erasing = {probability, scale.first, scale.second, ratio.first, ratio.second};
          },
          nb::arg("probability"), nb::arg("scale"), nb::arg("ratio"))
      .def_rw("cutout", &O::cutout)
      .def(
          "set_seed", [](O& self, uint64_t seed) { self.seed = self.order.seed = seed; }, nb::arg("seed"))
      .def_rw("threads", &O::threads)
      .def_rw("slots", &O::slots)
      .def_rw("bn_group", &O::bn_group)
      .def_rw("rank", &O::rank)
      .def_rw("world", &O::world)
      .def_rw("reference_decoder", &O::reference_decoder)
      .def_rw("max_bad_records", &O::max_bad_records)
      .def_rw("local_copy", &O::local_copy)
      .def_prop_rw(
          "global_batch", [](const O& self) { return self.order.batch; },
          [](O& self, uint32_t batch) { self.order.batch = batch; })
      .def_prop_rw(
          "partitions", [](const O& self) { return self.order.partitions; },
          [](O& self, uint32_t partitions) { self.order.partitions = partitions; })
      .def_prop_rw(
          "block_bytes", [](const O& self) { return self.order.block_bytes; },
          [](O& self, uint64_t bytes) { self.order.block_bytes = bytes; })
      .def_prop_rw(
          "window_blocks", [](const O& self) { return self.order.window_blocks; },
          [](O& self, uint32_t blocks) { self.order.window_blocks = blocks; })
      .def_prop_rw(
          "repeats", [](const O& self) { return self.order.repeats; },
          [](O& self, uint32_t repeats) { self.order.repeats = repeats; })
      .def_prop_rw(
          "drop_last", [](const O& self) { return self.order.drop_last; },
          [](O& self, bool drop) { self.order.drop_last = drop; })
      .def_prop_rw(
          "shuffle", [](const O& self) { return self.order.shuffle; },
          [](O& self, bool shuffle) { self.order.shuffle = shuffle; });
}

// A small array of its own.
template <typename T, size_t... kTail>
nb::ndarray<nb::numpy, T, nb::shape<-1, kTail...>, nb::c_contig> array_of(const void* values, size_t count) {
  const size_t numbers = count * (size_t{1} * ... * kTail);
  T* const data = new T[std::max<size_t>(numbers, 1)];
  std::copy_n(static_cast<const T*>(values), numbers, data);
  const nb::capsule owner(data, [](void* memory) noexcept { delete[] static_cast<T*>(memory); });
  return nb::ndarray<nb::numpy, T, nb::shape<-1, kTail...>, nb::c_contig>(data, {count, kTail...}, owner);
}

// The pixels themselves, kept alive by whatever is made of the array.
using Images = nb::ndarray<nb::numpy, uint8_t, nb::shape<-1, -1, -1, 3>, nb::c_contig>;
Images images_of(const DeliveredBatch& batch) {
  auto kept = std::make_unique<std::shared_ptr<BatchMemory>>(batch.memory);
  const nb::capsule owner(kept.get(),
                          [](void* memory) noexcept { delete static_cast<std::shared_ptr<BatchMemory>*>(memory); });
  static_cast<void>(kept.release());
  return Images(batch.memory->images(), {batch.count, batch.size, batch.size, 3}, owner);
}

void bind_batch(nb::module_& module) {
  using B = DeliveredBatch;
  nb::class_<B>(module, "NativeBatch")
      // Arrays have owners of their own: they do not keep the batch.
      .def_prop_ro("images", images_of, nb::rv_policy::automatic)
      .def_prop_ro(
          "labels", [](const B& self) { return array_of<int64_t>(self.labels.data(), self.labels.size()); },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "ids", [](const B& self) { return array_of<uint64_t>(self.ids.data(), self.ids.size()); },
          nb::rv_policy::automatic)
      .def_prop_ro(
          "blanks",
          [](const B& self) {
            static_assert(sizeof(BlankBoxes) == 8 * sizeof(int32_t));
            return array_of<int32_t, 2, 4>(self.blanks.data(), self.blanks.size());
          },
          nb::rv_policy::automatic)
      .def_ro("first", &B::first)
      .def_ro("count", &B::count)
      .def_ro("global_count", &B::global_count)
      .def_ro("size", &B::size)
      .def_ro("epoch", &B::epoch)
      .def_ro("index", &B::index)
      .def_ro("order_digest", &B::order_digest)
      .def_ro("copied", &B::copied)
      .def_ro("left_out", &B::left_out);
}

nb::typed<nb::dict, nb::str, double> seconds_of(Pipeline& pipeline) {
  const StageSeconds stages = pipeline.stage_seconds();
  nb::typed<nb::dict, nb::str, double> out;
  out["read"] = stages.read;
  out["check"] = stages.check;
  out["augment"] = stages.augment;
  out["decode"] = stages.decode;
  out["wait_for_slot"] = stages.wait_for_slot;
  out["wait_for_read"] = stages.wait_for_read;
  out["wait_for_batch"] = stages.wait_for_batch;
  return out;
}

nb::typed<nb::dict, nb::str, uint64_t> counts_of(Pipeline& pipeline) {
  const StageSeconds stages = pipeline.stage_seconds();
  nb::typed<nb::dict, nb::str, uint64_t> out;
  out["bytes_read"] = stages.bytes_read;
  out["fast_path"] = stages.fast_path;
  out["reference_path"] = stages.reference_path;
  out["left_out"] = stages.left_out;
  out["batches_copied"] = pipeline.batches_copied();
  out["slots_held"] = pipeline.slots_held();
  return out;
}

}  // namespace

void bind_pipeline(nb::module_& module) {
  bind_options(module);
  bind_batch(module);
  nb::class_<Pipeline>(module, "Pipeline", nb::is_weak_referenceable())
      .def(nb::init<std::shared_ptr<OpenDataset>, const PipelineOptions&>(), nb::arg("dataset"), nb::arg("options"))
      .def("start_epoch", &Pipeline::start_epoch, nb::arg("epoch"), nb::arg("first_batch") = 0, nb::arg("size") = 0,
           nb::arg("digest") = 0)
      .def("next", &Pipeline::next, "None: the epoch is complete.")
      .def("close", &Pipeline::close)
      .def_prop_ro("closed", &Pipeline::closed)
      .def_prop_ro("batches_per_epoch", &Pipeline::batches_per_epoch)
      .def_prop_ro("samples_per_epoch", &Pipeline::samples_per_epoch)
      .def_prop_ro("threads", &Pipeline::threads)
      .def("seconds", seconds_of)
      .def("counts", counts_of)
      .def("reading", &Pipeline::reading)
      .def("take_notes", &Pipeline::take_notes);
}

}  // namespace imgpack::python
