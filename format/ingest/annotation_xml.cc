// Validation labels from the bounding-box annotations: one small PASCAL VOC file per image.
#include <libxml/xmlreader.h>
#include <tbb/parallel_for.h>

#include <memory>
#include <mutex>

#include "format/error.h"
#include "format/ingest/image_name.h"
#include "format/ingest/label_table.h"

namespace imgpack::ingest {
namespace {

// The largest of the 50,000 has a few dozen objects of about 300 bytes.
constexpr uint64_t kMaxXmlBytes = 1 << 20;

struct ReaderDeleter {
  void operator()(xmlTextReader* reader) const { xmlFreeTextReader(reader); }
};

void prepare_libxml() {
  static std::once_flag once;
  std::call_once(once, xmlInitParser);
}

}  // namespace

std::string parse_annotation(std::string_view xml, const std::filesystem::path& path) {
  prepare_libxml();
  // No network, no entities that expand, no words on standard error.
  const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
  const std::unique_ptr<xmlTextReader, ReaderDeleter> reader(
      xmlReaderForMemory(xml.data(), static_cast<int>(xml.size()), nullptr, nullptr, options));
  if (!reader) throw Error(ErrorKind::kInvalidInput, "XML could not be read", path);
  std::string object_class;
  bool in_object = false, in_name = false;
  int status = xmlTextReaderRead(reader.get());
  for (; status == 1; status = xmlTextReaderRead(reader.get())) {
    const int type = xmlTextReaderNodeType(reader.get()), depth = xmlTextReaderDepth(reader.get());
    const auto* name = reinterpret_cast<const char*>(xmlTextReaderConstName(reader.get()));
    if (type == XML_READER_TYPE_ELEMENT && depth == 1)
      in_object = name != nullptr && std::string_view(name) == "object";
    if (depth == 2)
      in_name = in_object && type == XML_READER_TYPE_ELEMENT && name != nullptr && std::string_view(name) == "name";
    if (in_name && depth == 3 && type == XML_READER_TYPE_TEXT && object_class.empty()) {
      const auto* value = reinterpret_cast<const char*>(xmlTextReaderConstValue(reader.get()));
      if (value != nullptr) object_class = value;
    }
  }
  // The rest of the file is read even where the class is known by then: a damaged file is not believed.
  if (status != 0) throw Error(ErrorKind::kInvalidInput, "XML is damaged", path);
  if (object_class.empty())
    throw Error(ErrorKind::kInvalidInput, "annotation names no object: expected <object><name>WNID</name>", path);
  return object_class;
}

LabelTable read_annotations(FileSystem& fs, const std::filesystem::path& folder, const SourceSplit& split) {
  std::vector<std::string> classes(split.images.size());
  tbb::parallel_for(size_t{0}, split.images.size(), [&](size_t i) {
    const auto path = folder / (std::string(stem_of(split.images[i].name())) + ".xml");
    if (!fs.exists(path)) return;
    classes[i] = parse_annotation(read_text(fs, path, kMaxXmlBytes), path);
  });
  LabelTable table{"Annotations XML", folder, {}};
  for (size_t i = 0; i < classes.size(); ++i) {
    if (!classes[i].empty()) table.class_of.emplace(stem_of(split.images[i].name()), std::move(classes[i]));
  }
  return table;
}

}  // namespace imgpack::ingest
