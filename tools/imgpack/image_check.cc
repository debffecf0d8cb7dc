#include "tools/imgpack/image_check.h"

#include "format/ingest/image_normaliser.h"
#include "format/jpeg/index_check.h"
#include "format/jpeg/jpeg_probe.h"

namespace imgpack {

std::optional<std::string> check_image(const RecordView& record) {
  std::string why;
  const auto info = jpeg::probe_jpeg(record.image(), &why);
  if (!info) return "not a JPEG: " + why;
  if (info->width != record.meta.width || info->height != record.meta.height) {
    return "image size differs from the record's: expected " + std::to_string(record.meta.width) + "x" +
           std::to_string(record.meta.height) + ", found " + std::to_string(info->width) + "x" +
           std::to_string(info->height);
  }
  why = ingest::check_decodes(record.image());
  if (!why.empty()) return why;
  if (record.entropy_index().empty()) return std::nullopt;
  why = jpeg::check_entropy_index(record.image(), record.entropy_index());
  if (!why.empty()) return "entropy index: " + why;
  return std::nullopt;
}

}  // namespace imgpack
