// Writes the seeds of the JPEG and archive fuzz targets: small files of every kind, made on the spot.
//
//   fuzz_make_seeds FOLDER   writes FOLDER/{jpeg,jpeg_probe,image_normaliser,archive_source,label_files}/seed-*
#include <png.h>
#include <webp/encode.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "format/jpeg/entropy_index.h"
#include "tests/support/archives.h"
#include "tests/support/test_jpegs.h"

namespace {

using imgpack::test::make_test_jpeg;
using imgpack::test::test_picture;
using imgpack::test::TestColour;
using imgpack::test::TestJpeg;

using Bytes = std::vector<std::byte>;

class Folder {
 public:
  explicit Folder(const std::filesystem::path& path) : path_(path) { std::filesystem::create_directories(path_); }
  void add(const Bytes& head, const Bytes& body) {
    std::ofstream file(path_ / ("seed-" + std::to_string(count_++)), std::ios::binary);
    file.write(reinterpret_cast<const char*>(head.data()), static_cast<std::streamsize>(head.size()));
    file.write(reinterpret_cast<const char*>(body.data()), static_cast<std::streamsize>(body.size()));
  }

 private:
  std::filesystem::path path_;
  int count_ = 0;
};

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

std::vector<TestJpeg> kinds() {
  std::vector<TestJpeg> out;
  for (auto [h, v] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}}) {
    out.push_back({.width = 33, .height = 25, .max_h = h, .max_v = v, .quality = 60, .optimise = true});
    out.push_back(
        {.width = 40, .height = 17, .max_h = h, .max_v = v, .quality = 30, .optimise = true, .restart_interval = 2});
  }
  out.push_back({.width = 24, .height = 20, .colour = TestColour::kGray, .optimise = true});
  out.push_back({.width = 24, .height = 20, .quality = 40, .progressive = true});
  out.push_back({.width = 24, .height = 20, .quality = 40, .arithmetic = true});
  out.push_back({.width = 24, .height = 20, .quality = 40, .optimise = true, .separate_scans = true});
  out.push_back({.width = 16, .height = 16, .colour = TestColour::kCmyk, .quality = 40, .optimise = true});
  out.push_back({.width = 16, .height = 16, .colour = TestColour::kYcck, .quality = 40, .optimise = true});
  out.push_back({.width = 16, .height = 16, .colour = TestColour::kRgb, .quality = 40, .optimise = true});
  out.push_back({.width = 16, .height = 24, .quality = 40, .optimise = true, .exif_orientation = 6});
  return out;
}

Bytes make_png() {
  const auto pixels = test_picture(20, 15, 4, true, 1);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = 20;
  image.height = 15;
  image.format = PNG_FORMAT_RGBA;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr);
  Bytes out(size);
  png_image_write_to_memory(&image, out.data(), &size, 0, pixels.data(), 0, nullptr);
  return out;
}

Bytes make_webp() {
  const auto pixels = test_picture(20, 15, 3, true, 1);
  uint8_t* memory = nullptr;
  const size_t size = WebPEncodeRGB(pixels.data(), 20, 15, 60, 50, &memory);
  const std::byte* begin = reinterpret_cast<const std::byte*>(memory);
  Bytes out(begin, begin + size);
  WebPFree(memory);
  return out;
}

Bytes make_bmp(int bits) {
  Bytes out =
      bytes_of({'B', 'M', 0, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 1, 0, bits, 0});
  out.resize(54);
  if (bits <= 8) out[10] = static_cast<std::byte>(54 + 8), out[46] = std::byte{2};
  const auto pixels = test_picture(64, 8, 1, true, 1);
  for (uint8_t pixel : pixels) out.push_back(static_cast<std::byte>(pixel));
  return out;
}

Bytes bytes_of(const std::string& text) {
  Bytes out;
  for (char letter : text) out.push_back(static_cast<std::byte>(letter));
  return out;
}

constexpr const char* kSolution = "ImageId,PredictionString\nILSVRC2012_val_00000001,a 1 2 3 4 \n";
constexpr const char* kAnnotation = "<annotation><size/><object><name>n01440764</name></object></annotation>";

void add_archives(Folder& folder) {
  using imgpack::test::gzipped;
  using imgpack::test::make_tar;
  using imgpack::test::make_zip;
  using imgpack::test::PackedFile;
  const std::string data = "ILSVRC/Data/CLS-LOC/";
  const std::vector<PackedFile> kaggle = {{data + "train/a/a_1.JPEG", "x"},
                                          {data + "val/ILSVRC2012_val_00000001.JPEG", "y"},
                                          {"ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1\n"}};
  const PackedFile csv{"LOC_val_solution.csv", kSolution};
  const std::string classes = make_tar({{"./", "", '5'}, {"./a/1.jpg", "x"}, {"./b/1.jpg", "y"}});
  const std::string tars = make_tar({{"a.tar", make_tar({{"1.jpg", "x"}})}, {"b.tar", make_tar({{"1.jpg", "y"}})}});
  for (const std::string& archive :
       {classes, gzipped(classes), imgpack::test::zstandard(classes), tars, gzipped(tars), make_tar(kaggle),
        make_zip(kaggle), make_zip({csv, {"imagenet.tar.gz", gzipped(make_tar(kaggle))}}),
        make_zip({{"a/1.jpg", "x"}}, "secret"), make_tar({{"a", "", '2', "/b"}, {"../c", "x"}}),
        make_tar({{"a/1.jpg", "x", '0', "", 1ull << 40}})}) {
    folder.add({}, bytes_of(archive));
  }
}

void add_label_files(Folder& folder) {
  const std::string texts[] = {kSolution,
                               "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
                               "n01440764/n01440764_10026 1\n",
                               "490\n361\n171\n",
                               "n02119789 1 kit_fox\n",
                               "mkdir -p n01440764\nmv ILSVRC2012_val_00000293.JPEG n01440764/\n",
                               "[[1, 2], [], [999]]",
                               kAnnotation,
                               "path,label,split\ntrain/a/1.jpg,a,train\n\"x,\"\"y\"\"\",7,val\n"};
  for (int parser = 0; parser < 13; ++parser) {
    for (const std::string& text : texts) folder.add(bytes_of({parser}), bytes_of(text));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_make_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path root = argv[1];
  Folder jpeg(root / "jpeg"), probe(root / "jpeg_probe"), normaliser(root / "image_normaliser");
  Folder archives(root / "archive_source"), labels(root / "label_files");
  add_archives(archives);
  add_label_files(labels);
  imgpack::jpeg::EntropyIndexBuilder builder;
  int n = 0;
  for (const TestJpeg& kind : kinds()) {
    const Bytes bytes = make_test_jpeg(kind);
    for (int source = 0; source < 4; source++, n++) {
      Bytes head = bytes_of({source, n % 5, n % 3, 20 + n, 30, 10, 200, 20, 220, 0, n, 0, 0, n & 1, 0, 0});
      Bytes index;
      if (source == 1) index = builder.build(bytes, n % 5).value_or(Bytes());
      if (source == 2) index = bytes_of({1, 0, 0, 0, 0, 0, 0, 0, 8});
      head.push_back(static_cast<std::byte>(index.size() & 255));
      head.push_back(static_cast<std::byte>(index.size() >> 8));
      head.insert(head.end(), index.begin(), index.end());
      jpeg.add(head, bytes);
    }
    probe.add({}, bytes);
    for (int options : {0, 1, 4 | 8, 16 | 32, 64, 128})
      normaliser.add(bytes_of({options, 12, 13, 80, 1, 5, 0, 0}), bytes);
  }
  for (const Bytes& bytes :
       {make_png(), make_webp(), make_bmp(1), make_bmp(4), make_bmp(8), make_bmp(16), make_bmp(24), make_bmp(32)}) {
    normaliser.add(bytes_of({0, 0, 0, 80, 0, 5, 0, 0}), bytes);
  }
  return 0;
}
