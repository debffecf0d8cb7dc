#include "tests/golden/golden_dataset.h"

#include "format/dataset.h"
#include "format/error.h"
#include "format/label_set.h"
#include "format/layout.h"

namespace imgpack::test {
namespace {

// A grayscale JPEG of 8 x 8 pixels, after its SOI marker.
constexpr unsigned char kGrayJpeg[] = {
    0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x00,
    0xff, 0xdb, 0x00, 0x43, 0x00, 0x28, 0x1c, 0x1e, 0x23, 0x1e, 0x19, 0x28, 0x23, 0x21, 0x23, 0x2d, 0x2b, 0x28,
    0x30, 0x3c, 0x64, 0x41, 0x3c, 0x37, 0x37, 0x3c, 0x7b, 0x58, 0x5d, 0x49, 0x64, 0x91, 0x80, 0x99, 0x96, 0x8f,
    0x80, 0x8c, 0x8a, 0xa0, 0xb4, 0xe6, 0xc3, 0xa0, 0xaa, 0xda, 0xad, 0x8a, 0x8c, 0xc8, 0xff, 0xcb, 0xda, 0xee,
    0xf5, 0xff, 0xff, 0xff, 0x9b, 0xc1, 0xff, 0xff, 0xff, 0xfa, 0xff, 0xe6, 0xfd, 0xff, 0xf8, 0xff, 0xc0, 0x00,
    0x0b, 0x08, 0x00, 0x08, 0x00, 0x08, 0x01, 0x01, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x14, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xc4, 0x00, 0x17,
    0x10, 0x01, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x11, 0x12, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3f, 0x00, 0x44, 0xe6, 0xa7, 0xff, 0xd9};

// The JPEG above with its record's name in a comment segment, so that no two images are the same bytes.
std::string jpeg_of(const std::string& name) {
  std::string jpeg = "\xff\xd8\xff\xfe";
  const size_t length = name.size() + 2;
  jpeg.push_back(static_cast<char>(length >> 8));
  jpeg.push_back(static_cast<char>(length & 0xff));
  jpeg += name;
  jpeg.append(reinterpret_cast<const char*>(kGrayJpeg), sizeof kGrayJpeg);
  return jpeg;
}

Record golden_record(const std::string& split, const std::string& name, int32_t label, const std::string& entropy,
                     uint32_t flags = 0) {
  Record record = make_record(split, name, label, jpeg_of(name), entropy);
  record.meta.width = record.meta.height = 8;
  record.meta.flags = kRecordGray | flags;
  return record;
}

}  // namespace

std::vector<SplitRecords> golden_splits() {
  SplitRecords train{"train", {}, 2, true}, val{"val", {}, 1, true}, test{"test", {}, 1, false};
  const char* const wnids[] = {"n01440764", "n01443537", "n01484850"};
  for (int i = 0; i < 9; ++i) {
    const std::string wnid = wnids[i % 3];
    train.records.push_back(golden_record("train", wnid + "/" + wnid + "_" + std::to_string(i * i * 37) + ".JPEG",
                                          i % 3, i % 2 == 0 ? "entropy index " + std::to_string(i) : ""));
  }
  train.records.push_back(golden_record("train", "n01443537/fish without a number.jpg", 1, "", kRecordConverted));
  train.records.push_back(golden_record("train", "n01484850/\xc3\xa9t\xc3\xa9 007.jpeg", 2, "", kRecordResized));
  for (int i = 1; i <= 4; ++i)
    val.records.push_back(golden_record("val", "ILSVRC2012_val_0000000" + std::to_string(i) + ".JPEG", i % 3, "row"));
  for (int i = 8; i <= 11; ++i)
    test.records.push_back(golden_record(
        "test", "ILSVRC2012_test_000000" + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".JPEG", kNoLabel, ""));
  // A section that a later minor version may add and this one may ignore.
  val.records[0].sections.push_back({static_cast<SectionType>(900), false, to_bytes("later")});
  return {train, val, test};
}

void write_golden_dataset(FileSystem& fs, const std::filesystem::path& folder) {
  TinyOptions options;
  options.seed = 2012;
  Manifest manifest = write_dataset(fs, folder, golden_splits(), options);
  const SplitView val = Dataset::open(fs, folder).split("val");
  manifest.label_sets = {
      publish_label_set(fs, folder, {"real", "val", 3, ids_checksum(val.columns.id), {{0}, {}, {1, 2}, {0, 1, 2}}})};
  manifest.skipped = {{"train", "n01440764/broken.JPEG", "stream ends before the image does", "00000000deadbeef"},
                      {"train", "n01440764/unreadable.JPEG", "permission denied", ""}};
  publish_manifest(fs, folder, manifest);
}

std::filesystem::path golden_folder() {
  return std::filesystem::path(TEST_SOURCE_DIR) / "golden" / ("v" + std::to_string(layout::kMajor)) / "tiny.shards";
}

void update_golden(FileSystem& fs, const std::filesystem::path& version_folder) {
  if (fs.exists(version_folder / "RELEASED")) {
    throw Error(ErrorKind::kInvalidInput,
                "this version is released: its golden files must stay as they are and be readable for ever",
                version_folder, {}, "a change of the format needs a new version and golden files of its own");
  }
  write_golden_dataset(fs, version_folder / "tiny.shards");
}

}  // namespace imgpack::test
