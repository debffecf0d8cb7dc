#include "format/ingest/sample_set.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <vector>

#include "format/checksum.h"
#include "format/error.h"
#include "format/ingest/sample_encoder.h"
#include "format/ingest/sample_picture.h"
#include "format/ingest/sample_random.h"
#include "format/strict_json.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr const char* kMarkerFile = "sample.json";
constexpr uint32_t kMaxImages = 10'000'000;

struct OddKind {
  const char* what;
  SampleEncoding encoding;
  uint32_t width, height;  // 0: as ordinary images.
};
constexpr OddKind kOddKinds[] = {
    {"grayscale", SampleEncoding::kGray, 0, 0},          {"CMYK with inverted inks", SampleEncoding::kCmyk, 0, 0},
    {"a PNG named .JPEG", SampleEncoding::kPng, 0, 0},   {"EXIF orientation 6", SampleEncoding::kExifOrientation, 0, 0},
    {"progressive", SampleEncoding::kProgressive, 0, 0}, {"restart markers", SampleEncoding::kRestartMarkers, 0, 0},
    {"very wide", SampleEncoding::kJpeg, 900, 30},       {"one pixel high", SampleEncoding::kJpeg, 64, 1},
};

std::string numbered(const char* format, uint32_t number) {
  char text[64];
  std::snprintf(text, sizeof text, format, number);
  return text;
}

std::string wnid_of(uint32_t one_class) {
  return numbered("n9%07u", one_class + 1);
}

struct PlannedSample {
  std::string stem;    // `ILSVRC2012_val_00000001`
  std::string folder;  // Below ILSVRC/Data/CLS-LOC: `train/n90000001`, `val`
  uint32_t one_class = 0;
  uint64_t seed = 0;
  const OddKind* odd = nullptr;
  uint32_t damage = 0;             // 1: cut off, 2: text, 3: empty.
  uint32_t width = 0, height = 0;  // Set when it is drawn.
};

std::vector<PlannedSample> plan_samples(const SampleOptions& options) {
  std::vector<PlannedSample> samples;
  for (uint32_t i = 0; i < options.train; ++i) {
    const uint32_t one_class = i % options.classes;
    samples.push_back({wnid_of(one_class) + "_" + std::to_string(i / options.classes), "train/" + wnid_of(one_class),
                       one_class, mix_bits(options.seed ^ mix_bits(1'000'000'000ull + i))});
  }
  // The odd ones stand behind the first few images, so that small sets have them too.
  for (uint32_t i = 0; options.odd && i < std::size(kOddKinds) && i < options.train; ++i)
    samples[i].odd = &kOddKinds[i];
  for (uint32_t i = 0; i < options.damaged && i < options.train; ++i) samples[options.train - 1 - i].damage = 1 + i % 3;
  // Validation and test classes come in no order that a counter would give away.
  for (uint32_t i = 0; i < options.val; ++i) {
    const uint64_t seed = mix_bits(options.seed ^ mix_bits(2'000'000'000ull + i));
    samples.push_back(
        {numbered("ILSVRC2012_val_%08u", i + 1), "val", (i * 7 + i / options.classes) % options.classes, seed});
  }
  for (uint32_t i = 0; i < options.test; ++i) {
    const uint64_t seed = mix_bits(options.seed ^ mix_bits(3'000'000'000ull + i));
    samples.push_back(
        {numbered("ILSVRC2012_test_%08u", i + 1), "test", static_cast<uint32_t>(seed % options.classes), seed});
  }
  return samples;
}

std::vector<std::byte> draw_and_encode(PlannedSample& sample, const SampleOptions& options) {
  SampleRandom random(sample.seed);
  const auto size = static_cast<int32_t>(options.size);
  const auto long_side = static_cast<uint32_t>(std::max(random.between(size * 2 / 3, size * 4 / 3), 8));
  constexpr uint32_t shares[] = {66, 75, 75, 80, 100};
  const uint32_t short_side = std::max(long_side * shares[random.between(0, 4)] / 100, 8u);
  const bool portrait = random.one_in(3);
  sample.width = portrait ? short_side : long_side;
  sample.height = portrait ? long_side : short_side;
  SampleEncoderOptions encoder;
  encoder.quality = random.between(75, 96);
  // About as ImageNet has them: three in four without chroma subsampling.
  const int32_t sampling = random.between(0, 99);
  if (sampling >= 76) encoder.horizontal = 2;
  if (sampling >= 76 && sampling < 98) encoder.vertical = 2;
  if (sample.odd != nullptr) {
    encoder.encoding = sample.odd->encoding;
    if (sample.odd->width > 0) {
      sample.width = sample.odd->width;
      sample.height = sample.odd->height;
    }
  }
  auto bytes = encode_sample(draw_sample(sample.one_class, sample.width, sample.height, sample.seed), encoder);
  constexpr std::string_view text = "<html><body>404 Not Found</body></html>\n";
  const auto text_bytes = std::as_bytes(std::span(text));
  if (sample.damage == 1) bytes.resize(bytes.size() * 2 / 3);
  if (sample.damage == 2) bytes.assign(text_bytes.begin(), text_bytes.end());
  if (sample.damage == 3) bytes.clear();
  return bytes;
}

void write_file(FileSystem& fs, const path& file, std::span<const std::byte> bytes) {
  const auto out = fs.create(file);
  out->append(bytes);
  out->close();
}
void write_file(FileSystem& fs, const path& file, const std::string& text) {
  write_file(fs, file, std::as_bytes(std::span(text)));
}

std::string annotation(const PlannedSample& sample) {
  const std::string width = std::to_string(sample.width), height = std::to_string(sample.height);
  return "<annotation>\n\t<folder>val</folder>\n\t<filename>" + sample.stem +
         "</filename>\n\t<source>\n\t\t<database>ILSVRC_2012</database>\n\t</source>\n\t<size>\n\t\t<width>" + width +
         "</width>\n\t\t<height>" + height +
         "</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n\t<object>\n\t\t<name>" +
         wnid_of(sample.one_class) +
         "</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\t\t<difficult>0</"
         "difficult>\n\t\t<bndbox>\n\t\t\t<xmin>0</xmin>\n"
         "\t\t\t<ymin>0</ymin>\n\t\t\t<xmax>" +
         width + "</xmax>\n\t\t\t<ymax>" + height + "</ymax>\n\t\t</bndbox>\n\t</object>\n</annotation>\n";
}

std::string solution_row(const PlannedSample& sample) {
  return sample.stem + "," + wnid_of(sample.one_class) + " 0 0 " + std::to_string(sample.width) + " " +
         std::to_string(sample.height) + " \n";
}

// The text files of the download: label tables, lists, annotations.
void write_tables(FileSystem& fs, const path& out, const std::vector<PlannedSample>& samples,
                  const SampleOptions& options) {
  std::string mapping, train_solution = "ImageId,PredictionString\n", submission = train_solution;
  std::string train_list, val_list, test_list;
  std::vector<std::string> val_rows;
  for (uint32_t i = 0; i < options.classes; ++i)
    mapping += wnid_of(i) + " " + std::string(texture_name(i)) + ", synthetic sample\n";
  uint32_t train_number = 0, val_number = 0, test_number = 0;
  for (const PlannedSample& sample : samples) {
    if (sample.folder == "val") {
      val_rows.push_back(solution_row(sample));
      val_list += sample.stem + " " + std::to_string(++val_number) + "\n";
      write_file(fs, out / "ILSVRC/Annotations/CLS-LOC/val" / (sample.stem + ".xml"), annotation(sample));
    } else if (sample.folder == "test") {
      submission += sample.stem + ",\n";
      test_list += sample.stem + " " + std::to_string(++test_number) + "\n";
    } else {
      train_solution += solution_row(sample);
      train_list += wnid_of(sample.one_class) + "/" + sample.stem + " " + std::to_string(++train_number) + "\n";
    }
  }
  // The download's rows are in no order either.
  std::sort(val_rows.begin(), val_rows.end(),
            [](const std::string& a, const std::string& b) { return checksum(a) < checksum(b); });
  std::string val_solution = "ImageId,PredictionString\n";
  for (const std::string& row : val_rows) val_solution += row;
  write_file(fs, out / "LOC_synset_mapping.txt", mapping);
  write_file(fs, out / "LOC_train_solution.csv", train_solution);
  write_file(fs, out / "LOC_val_solution.csv", val_solution);
  write_file(fs, out / "LOC_sample_submission.csv", submission);
  const path lists = out / "ILSVRC/ImageSets/CLS-LOC";
  write_file(fs, lists / "train_cls.txt", train_list);
  write_file(fs, lists / "val.txt", val_list);
  write_file(fs, lists / "test.txt", test_list);
}

std::string options_text(const SampleOptions& o) {
  return "classes " + std::to_string(o.classes) + ", train " + std::to_string(o.train) + ", val " +
         std::to_string(o.val) + ", test " + std::to_string(o.test) + ", size " + std::to_string(o.size) + ", seed " +
         std::to_string(o.seed) + ", odd " + (o.odd ? "yes" : "no") + ", damaged " + std::to_string(o.damaged);
}

void check(const SampleOptions& options) {
  const auto in = [](const char* what, uint64_t value, uint64_t low, uint64_t high) {
    if (value >= low && value <= high) return;
    throw Error(ErrorKind::kUsage, std::string(what) + ": expected " + std::to_string(low) + " to " +
                                       std::to_string(high) + ", found " + std::to_string(value));
  };
  in("classes", options.classes, 2, kSampleTextures);
  in("train images", options.train, options.classes, kMaxImages);
  in("val images", options.val, 0, kMaxImages);
  in("test images", options.test, 0, kMaxImages);
  in("size", options.size, 16, 8192);
  in("damaged images", options.damaged, 0, options.train / 2);
}

// `sample.json`: what the set was made with, and which images are odd.
std::string marker_json(const std::string& made_with, const SampleReport& report) {
  std::string text = "{\n  \"made_with\": " + json_quote(made_with) +
                     ",\n  \"images\": " + std::to_string(report.images) +
                     ",\n  \"bytes\": " + std::to_string(report.bytes) + ",\n  \"odd_images\": {";
  const char* separator = "\n    ";
  for (const auto& [file, what] : report.odd_images) {
    text += separator + json_quote(file) + ": " + json_quote(what);
    separator = ",\n    ";
  }
  return text + "\n  }\n}\n";
}

SampleReport read_marker(FileSystem& fs, const path& out, const std::string& made_with) {
  const path file = out / kMarkerFile;
  const boost::json::value value = parse_json(read_text(fs, file, 1 << 24), file);
  StrictObject root(value, "", file);
  const std::string there = root.string("made_with");
  if (there != made_with) {
    throw Error(ErrorKind::kInvalidInput, "another sample is here: expected " + made_with + ", found " + there, out, {},
                "name another folder, or remove this one");
  }
  SampleReport report{true, root.integer("images"), root.integer("bytes"), root.strings("odd_images")};
  root.finish();
  return report;
}

}  // namespace

SampleReport write_sample_set(FileSystem& fs, const path& out, const SampleOptions& options) {
  check(options);
  const std::string made_with = options_text(options);
  if (fs.exists(out)) {
    if (fs.exists(out / kMarkerFile)) return read_marker(fs, out, made_with);
    if (!fs.list(out).empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "output folder is something else: expected a new or empty folder, or a sample made before", out, {},
                  "name another folder");
    }
  }
  // Named by its options: whatever a killed run left there is written again, byte for byte.
  path partial = out;
  partial += ".partial-" + to_hex(checksum(made_with));
  auto samples = plan_samples(options);
  for (const char* folder : {"ILSVRC/Annotations/CLS-LOC/val", "ILSVRC/ImageSets/CLS-LOC", "ILSVRC/Data/CLS-LOC/val",
                             "ILSVRC/Data/CLS-LOC/test"}) {
    fs.make_directories(partial / folder);
  }
  for (uint32_t i = 0; i < options.classes; ++i)
    fs.make_directories(partial / "ILSVRC/Data/CLS-LOC/train" / wnid_of(i));
  std::atomic<uint64_t> bytes{0};
  tbb::parallel_for(size_t{0}, samples.size(), [&](size_t i) {
    const auto image = draw_and_encode(samples[i], options);
    write_file(fs, partial / "ILSVRC/Data/CLS-LOC" / samples[i].folder / (samples[i].stem + ".JPEG"), image);
    bytes += image.size();
  });
  SampleReport report{false, samples.size(), bytes, {}};
  constexpr const char* damages[] = {"", "cut off", "text", "empty"};
  for (const PlannedSample& sample : samples) {
    const std::string file = "ILSVRC/Data/CLS-LOC/" + sample.folder + "/" + sample.stem + ".JPEG";
    if (sample.odd != nullptr) report.odd_images[file] = sample.odd->what;
    if (sample.damage != 0) report.odd_images[file] = damages[sample.damage];
  }
  write_tables(fs, partial, samples, options);
  write_file(fs, partial / kMarkerFile, marker_json(made_with, report));
  fs.rename(partial, out);
  return report;
}

}  // namespace imgpack::ingest
